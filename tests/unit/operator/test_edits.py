"""The operator's specification of edits: which are sent to the workflow, and what the order shows of them."""

from dataclasses import replace
from typing import Any

import pytest
from builders import UID, a_line, a_snapshot, an_address, an_order_resource, an_order_spec
from order_facts import AWAY, CLOCK, OTHER_ADDRESS, WAITS, at, known, ready, shown

from order_domain.order import Address, digest
from order_domain.refusals import RefusalType
from order_domain.status import OrderStatus
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import (
    Confirm,
    Describe,
    Send,
    Wait,
    WriteStatus,
)
from order_operator.orders.amendment import Amendment, Group, Refusal
from order_operator.orders.decision import next_action
from order_operator.orders.display import AGAIN_SECONDS
from order_operator.orders.edit_plan import plan
from order_operator.orders.edit_state import EditState
from order_operator.orders.known import Known
from order_operator.orders.resource import ParsedSpec


def edited(**facts: Any) -> Known:
    """A waiting order, shown, whose address is then edited."""
    before = shown(known(observation=WAITS)).order
    spec = OTHER_ADDRESS.model_dump(mode="json", exclude_none=True)
    return known(replace(before, spec=spec, generation=2), observation=WAITS, **facts)


EDIT = plan(ParsedSpec(OTHER_ADDRESS), 2, UID, a_snapshot(status="Await Approval"))[0]


def test_an_edit_is_sent() -> None:
    assert next_action(edited()) == Send(WAITS, [EDIT], [EDIT])


def test_a_running_order_that_rules_of_today_refuse_is_decided_about_and_shown() -> None:
    accepted_once = an_address().model_dump(mode="json", exclude_none=True) | {"country": "UK", "name": " "}
    spec = an_order_spec().model_dump(mode="json", exclude_none=True) | {"shippingAddress": accepted_once}
    in_force = Address.model_validate(accepted_once)
    run = at(
        OrderStatus.AWAIT_APPROVAL,
        approval={"required": True},
        shipping_address=in_force,
        address_digest=digest(in_force),
        lines_digest=digest([a_line()]),
    )

    decided = next_action(
        known(an_order_resource(spec=spec | {"approval": {"decision": "Approved", "by": "bob"}}), observation=run)
    )
    undecided = shown(known(an_order_resource(spec=spec), observation=run)).order.status

    assert isinstance(decided, Send)
    assert [change.group for change in decided.changes] == [Group.APPROVAL]
    assert undecided["shippingAddress"]["country"] == "UK"
    assert ready(undecided)[0] == "True"


SET_BACK = {
    Group.ADDRESS: OTHER_ADDRESS,
    Group.LINES: an_order_spec(lines=[a_line(quantity=9)]),
    Group.SUSPEND: an_order_spec(suspend=True),
}


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("group", SET_BACK)
def test_a_spec_that_is_set_back_is_sent_after_an_edit_whose_effect_is_not_seen_yet(
    group: Group, accepted: bool
) -> None:
    """The resource said what was in force, so that nothing was sent; the edit came into force later, and stayed."""
    run = at(OrderStatus.AWAIT_APPROVAL, approval={"required": True}, lines_digest=digest([a_line()]))
    assert run.snapshot is not None
    [edit] = plan(ParsedSpec(SET_BACK[group]), 2, UID, run.snapshot)
    then = {edit.update_id: CLOCK - 0.5}
    state = EditState(then, frozenset(then), accepted=then if accepted else {})
    order = replace(shown(known(observation=run)).order, generation=3)

    action = next_action(known(order, observation=run, edits=state))

    assert isinstance(action, Send)
    [change] = action.changes
    assert (change.group, change.update_id.rpartition("/")[2]) == (group, "3")


def test_a_spec_that_is_set_back_after_its_edit_was_refused_asks_for_nothing() -> None:
    refused = {EDIT.update_id: Refusal(Group.ADDRESS, "AlreadyShipped", "it has left")}
    order = replace(shown(known(observation=WAITS)).order, generation=3)

    assert isinstance(next_action(known(order, observation=WAITS, edits=EditState(refused=refused))), WriteStatus)


def test_an_edit_that_was_sent_a_moment_ago_is_given_time() -> None:
    sent = edited(edits=EditState({EDIT.update_id: CLOCK - 0.5}, frozenset({EDIT.update_id})))

    assert next_action(sent) == Wait(1.5)


def test_an_edit_without_an_answer_is_shown_as_applying_and_looked_at_again() -> None:
    sent = shown(edited(edits=EditState({EDIT.update_id: CLOCK - 5}, frozenset({EDIT.update_id}))))

    assert sent.order.status["observedGeneration"] == 1
    assert next_action(sent) == Wait(AGAIN_SECONDS)


def answered_before(*edits: Amendment, seconds: float = 5) -> dict[str, Any]:
    """These were accepted so long ago; what is asked in this reconciliation is asked now."""
    then = {each.update_id: CLOCK - seconds for each in edits}
    return {"edits": EditState(then, frozenset(then), accepted=then), "since": CLOCK}


def test_an_edit_that_temporal_knows_from_before_a_restore_is_sent_under_an_id_of_its_own() -> None:
    """Its id was that of an edit of before etcd was restored: it was accepted, and nothing happened for ever."""
    repeated = edited(**answered_before(EDIT))

    assert next_action(repeated) == Describe()
    repeated = replace(repeated, asked=True, observation=at(OrderStatus.AWAIT_APPROVAL, seq=17))
    assert next_action(repeated) == Confirm()
    action = next_action(replace(repeated, exists=True))

    assert isinstance(action, Send)
    assert action.changes == [replace(EDIT, update_id=f"{EDIT.update_id}/seq-17", repeats=EDIT.update_id)]
    assert action.wanted == action.changes


def test_an_edit_that_was_accepted_a_moment_ago_is_not_sent_again() -> None:
    """An answer of Temporal itself may be from before it."""
    moment = shown(edited(**answered_before(EDIT, seconds=1.9), asked=True, exists=True))

    assert isinstance(next_action(moment), Wait)


def test_an_edit_is_sent_again_once_however_much_the_order_publishes_then() -> None:
    [own] = [replace(EDIT, update_id=f"{EDIT.update_id}/seq-17", repeats=EDIT.update_id)]
    later = at(OrderStatus.AWAIT_APPROVAL, seq=18)
    sent = edited(**answered_before(EDIT, own), asked=True, exists=True)

    assert next_action(shown(replace(sent, observation=later))) == Wait(AGAIN_SECONDS)


def test_the_refusal_of_an_edit_that_was_sent_again_is_told() -> None:
    no = Refusal(Group.ADDRESS, "AlreadyShipped", "the parcel left")
    before = {EDIT.update_id: CLOCK - 5}
    edits = EditState(before, frozenset(before), {f"{EDIT.update_id}/seq-17": no}, before)

    refused = shown(edited(edits=edits, since=CLOCK))

    assert refused.order.status["observedGeneration"] == 2
    assert [item["reason"] for item in refused.order.status["conditions"] if item["type"] == "SpecApplied"] == [
        "AlreadyShipped"
    ]


def suspended(**facts: Any) -> Known:
    """An order that is shown, and then to be held."""
    spec = an_order_spec(suspend=True).model_dump(mode="json", exclude_none=True)
    before = shown(known(observation=WAITS)).order
    return known(replace(before, spec=spec, generation=2), observation=WAITS, **facts)


def test_a_suspension_that_a_client_of_the_workflow_took_back_is_not_sent_again() -> None:
    [hold] = plan(ParsedSpec(an_order_spec(suspend=True)), 2, UID, a_snapshot())
    resumed = at(OrderStatus.AWAIT_APPROVAL, suspended=False, suspend_requested=True)
    facts = answered_before(hold) | {"asked": True, "exists": True}

    assert next_action(shown(replace(suspended(**facts), observation=resumed))) == Wait()
    assert isinstance(next_action(suspended(**facts)), Send)


def test_a_suspension_that_counts_as_late_after_a_restore_is_sent_without_its_generation() -> None:
    """etcd was set back to an earlier generation: the order was told to wait, and was shipped."""
    [hold] = plan(ParsedSpec(an_order_spec(suspend=True)), 2, UID, a_snapshot())
    late = Refusal(Group.SUSPEND, RefusalType.SUPERSEDED, "the resource has asked for something else since")
    facts: dict[str, Any] = {"edits": EditState(refused={hold.update_id: late}), "since": CLOCK}

    assert next_action(suspended(**facts)) == Describe()
    assert next_action(suspended(**facts, asked=True)) == Confirm()
    action = next_action(suspended(**facts, asked=True, exists=True))

    assert isinstance(action, Send)
    assert [change.repeats for change in action.changes] == [hold.update_id]


def test_a_cancellation_that_was_answered_is_not_sent_for_ever() -> None:
    """The ledger may have answered that the order only goes forward."""
    spec = an_order_spec(cancellation={"by": "ana"})
    [cancel] = plan(ParsedSpec(spec), 2, UID, a_snapshot())
    order = an_order_resource(spec=spec.model_dump(mode="json", exclude_none=True), generation=2)

    answered = shown(known(order, observation=WAITS, **answered_before(cancel), asked=True, exists=True))

    assert next_action(answered) == Wait(AGAIN_SECONDS)


def test_an_edit_that_the_workflow_refused_is_told_and_observed() -> None:
    no = Refusal(Group.ADDRESS, "AlreadyShipped", "the parcel left")
    refused = shown(edited(edits=EditState(refused={EDIT.update_id: no})))

    assert refused.order.status["observedGeneration"] == 2
    assert next_action(refused) == Wait()


def test_an_edit_that_an_older_worker_does_not_know_is_told_and_sent_again_when_its_time_has_come() -> None:
    too_old = Refusal(Group.ADDRESS, Reason.WORKER_TOO_OLD, "roll out the new one", again_at=CLOCK + 30)
    told = shown(edited(edits=EditState(refused={EDIT.update_id: too_old})))

    assert next_action(told) == Wait(AGAIN_SECONDS)
    assert isinstance(next_action(replace(told, clock=CLOCK + 30)), Send)


def test_answers_to_earlier_edits_do_not_count() -> None:
    earlier = EditState({"earlier": CLOCK}, frozenset({"earlier"}), {"old": Refusal(Group.LINES, "OutOfStock", "")})

    assert isinstance(next_action(edited(edits=earlier)), Send)


def test_an_edit_waits_while_temporal_is_away_and_keeps_the_order_as_it_is_shown() -> None:
    waiting = shown(edited(connection=AWAY))

    assert (waiting.order.status["phase"], waiting.order.held) == ("Waiting", True)
    assert waiting.order.status["observedGeneration"] == 1


def test_lines_that_a_client_of_the_workflow_changed_are_told_and_not_taken_back() -> None:
    """B14: the operator and the client undid each other's work, until one stood still for ever."""
    ours, theirs = digest([a_line()]), digest([a_line(quantity=9)])
    changed = at(OrderStatus.AWAIT_APPROVAL, lines_digest=theirs, lines_requested=ours)

    told = shown(known(observation=changed))

    assert [item["reason"] for item in told.order.status["conditions"] if item["type"] == "SpecApplied"] == [
        "ChangedByClient"
    ]
    assert next_action(told) == Wait()
