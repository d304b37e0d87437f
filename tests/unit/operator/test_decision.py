"""The operator's specification: what is known of an order, and the one thing to do next. What is done for an order that
is deleted is in test_deletion.py."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import UID, a_line, a_policy, a_snapshot, an_address, an_observation, an_order_resource, an_order_spec
from temporalio.client import WorkflowExecutionStatus

from order_domain.order import Address, Proof, digest
from order_domain.refusals import RefusalType
from order_domain.status import TERMINAL_PHASES, OrderStatus
from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.cluster.policies import Evidence
from order_operator.cluster.policy_watch import LOOK_SECONDS
from order_operator.orders.actions import (
    Action,
    Confirm,
    Describe,
    Finish,
    Send,
    SetFinalizer,
    Start,
    TakeOver,
    Wait,
    WriteStatus,
)
from order_operator.orders.amendment import Amendment, EditState, Group, Refusal, plan
from order_operator.orders.classes import OrderClass
from order_operator.orders.decision import LOOK_GRACE_SECONDS, next_action
from order_operator.orders.display import AGAIN_SECONDS, BUSY_SECONDS, FINALIZER_AGE_SECONDS, LASTING_SECONDS
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_operator.orders.takeover import NOT_TAKEN_OVER
from order_operator.problem import Problem
from order_operator.temporal.connection import NOT_ANSWERED
from order_workflows.contract import Decision

NOW = datetime(2026, 1, 2, 3, 4, 2, tzinfo=UTC)
"""Two seconds after the resource was created."""
CLOCK = 1_000.0
OURS = {"cluster": "cluster-a", "temporal_namespace": "default"}
AWAY = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal cannot be reached")
NO_CLASS = Problem(Reason.CLASS_NOT_FOUND, "there is no OrderClass none", stalled=True)
CLASS = OrderClass(name="standard", generation=1, spec=a_policy())
WORKFLOW = {"id": f"order/shop/order-1/{UID}", "runID": "run-1", "namespace": "default", "taskQueue": "orders"}
WAITING_STATUS = {"phase": "Waiting", "orderStatus": "Await Approval", "observedGeneration": 1, "workflow": WORKFLOW}
OF_AN_EARLIER_RUN = {**WAITING_STATUS, "workflow": {**WORKFLOW, "runID": "run-0"}}
COMPLETED_STATUS = {"phase": "Completed", "observedGeneration": 1, "workflow": WORKFLOW}


def known(order: OrderResource | None = None, **facts: Any) -> Known:
    """A young order of which nothing else is known."""
    given: dict[str, Any] = {"now": NOW, "clock": CLOCK, "order_class": CLASS, **OURS, **facts}
    return Known(order=order or an_order_resource(), **given)


def shown(facts: Known) -> Known:
    """The same once all that is to be written is written."""
    for _ in range(3):
        action = next_action(facts)
        match action:
            case WriteStatus(status):
                facts = replace(facts, order=replace(facts.order, status=dict(status)))
            case SetFinalizer(present):
                facts = replace(facts, order=replace(facts.order, finalizers=(FINALIZER,) if present else ()))
            case _:
                return facts
    raise AssertionError(f"does not come to rest: {next_action(facts)}")


def at(status: OrderStatus, **changes: Any) -> Observation:
    """A run at this status, open unless that is an end."""
    run = WorkflowExecutionStatus.COMPLETED if status.terminal else WorkflowExecutionStatus.RUNNING
    return an_observation(status=run, snapshot=a_snapshot(status=status, **changes))


def stopped(run: WorkflowExecutionStatus = WorkflowExecutionStatus.TERMINATED, **changes: Any) -> Observation:
    return an_observation(
        status=run, snapshot=a_snapshot(status="Charge Customer"), close_time=NOW - timedelta(seconds=1), **changes
    )


def status_of(action: Action) -> Mapping[str, Any]:
    assert isinstance(action, WriteStatus), action
    return action.status


def ready(status: Mapping[str, Any]) -> tuple[str, str]:
    (found,) = [item for item in status["conditions"] if item["type"] == "Ready"]
    return found["status"], found["reason"]


WAITS = at(OrderStatus.AWAIT_APPROVAL)
RUNS = at(OrderStatus.CHARGE_CUSTOMER)
ENDED = at(OrderStatus.ORDER_COMPLETED)


# An order that has no workflow yet


def test_a_young_order_is_started() -> None:
    action = next_action(known())

    assert isinstance(action, Start)
    assert action.order_class is CLASS


def test_nothing_is_started_before_the_first_full_scan_is_through() -> None:
    assert next_action(known(synced=False)) == Wait()


@pytest.mark.parametrize("seconds", [-600, 8, 600], ids=["clock behind by ten minutes", "frozen", "frozen for long"])
def test_the_api_server_is_asked_whether_an_order_that_is_not_young_still_exists(seconds: int) -> None:
    later = known(now=NOW + timedelta(seconds=seconds))

    assert next_action(later) == Confirm()
    assert isinstance(next_action(replace(later, exists=True)), Start)


def test_while_temporal_is_away_a_new_order_says_so_and_waits() -> None:
    away = known(connection=AWAY)

    status = status_of(next_action(away))

    assert status["phase"] == "Pending"
    assert ready(status) == ("Unknown", Reason.TEMPORAL_UNAVAILABLE)
    assert next_action(shown(away)) == Wait()


def test_an_order_of_an_unknown_class_says_so_and_waits_for_the_class() -> None:
    unknown = known(order_class=NO_CLASS)

    assert ready(status_of(next_action(unknown))) == ("False", Reason.CLASS_NOT_FOUND)
    assert next_action(shown(unknown)) == Wait()


def test_a_paused_operator_starts_no_new_order_and_says_so() -> None:
    paused = known(paused=True)

    assert ready(status_of(next_action(paused))) == ("Unknown", Reason.PAUSED)
    assert next_action(shown(paused)) == Wait()
    assert isinstance(next_action(known(paused=True, observation=WAITS, order=None)), SetFinalizer)


def test_a_paused_operator_still_asks_the_ledger_about_an_order_whose_history_is_lost() -> None:
    lost = known(an_order_resource(status=WAITING_STATUS, finalizers=[FINALIZER]), asked=True, paused=True)

    assert isinstance(next_action(lost), Start)


def test_a_spec_that_admission_did_not_check_is_told_and_not_started() -> None:
    spec = an_order_spec().model_dump(mode="json", exclude_none=True) | {"lines": []}

    assert ready(status_of(next_action(known(an_order_resource(spec=spec))))) == ("False", Reason.INVALID_SPEC)


def test_a_start_that_temporal_refuses_is_told_and_tried_again_later() -> None:
    too_long = known(refused=Problem(Reason.TEMPORAL_REFUSED, "the workflow id is too long", stalled=True))

    assert ready(status_of(next_action(too_long))) == ("False", Reason.TEMPORAL_REFUSED)
    action = next_action(shown(too_long))
    assert isinstance(action, Wait)
    assert action.seconds is not None
    assert action.seconds > AGAIN_SECONDS


# An order whose workflow is not seen: absence proves nothing


def test_nothing_is_done_before_temporal_has_answered_for_the_first_time() -> None:
    """B1: a start cost four writes per open order."""
    order = an_order_resource(status=WAITING_STATUS, finalizers=[FINALIZER])

    assert next_action(known(order, connection=NOT_ANSWERED, synced=False)) == Wait()


def test_while_temporal_is_away_an_order_keeps_its_status_and_its_finalizer() -> None:
    """B1, B2: each start of an operator took both off every open order."""
    before = an_order_resource(status={**WAITING_STATUS, "progress": 33}, finalizers=[FINALIZER])
    away = shown(known(before, connection=AWAY, synced=False))

    assert away.order.held
    assert {key: away.order.status[key] for key in ("phase", "progress", "workflow")} == {
        "phase": "Waiting",
        "progress": 33,
        "workflow": WORKFLOW,
    }
    assert ready(away.order.status) == ("Unknown", Reason.TEMPORAL_UNAVAILABLE)


@pytest.mark.parametrize(
    "order",
    [an_order_resource(status=WAITING_STATUS), an_order_resource(finalizers=[FINALIZER])],
    ids=["its status names a workflow", "it carries our finalizer"],
)
def test_temporal_is_asked_before_an_order_that_had_a_workflow_gets_one(order: OrderResource) -> None:
    assert next_action(known(order)) == Describe()


def test_an_order_whose_history_temporal_has_lost_is_started_so_that_the_ledger_is_asked() -> None:
    lost = known(an_order_resource(status=WAITING_STATUS, finalizers=[FINALIZER]), asked=True)

    assert isinstance(next_action(lost), Start)


def test_an_order_with_a_workflow_in_another_temporal_namespace_is_not_begun_in_this_one() -> None:
    """The operator was given another namespace, and began every open order a second time there."""
    order = an_order_resource(status=WAITING_STATUS, finalizers=[FINALIZER])
    moved = shown(known(order, asked=True, temporal_namespace="another"))

    assert ready(moved.order.status) == ("False", Reason.WORKFLOW_ELSEWHERE)
    assert moved.order.status["phase"] == "Waiting"
    assert next_action(moved) == Wait()
    released = {key: value for key, value in moved.order.status.items() if key != "workflow"}
    assert isinstance(next_action(replace(moved, order=replace(moved.order, status=released))), Start)


def test_until_the_ledger_has_answered_such_an_order_keeps_what_it_shows() -> None:
    order = an_order_resource(status={**OF_AN_EARLIER_RUN, "progress": 33}, finalizers=[FINALIZER])
    asking = shown(known(order, observation=an_observation(snapshot=None), asked=True))

    assert (asking.order.status["phase"], asking.order.status["progress"]) == ("Waiting", 33)
    assert ready(asking.order.status) == ("Unknown", Reason.ASKING_LEDGER)
    assert asking.order.held


def test_an_open_run_that_a_full_scan_did_not_list_is_asked_for() -> None:
    assert next_action(known(observation=WAITS, doubted=True)) == Describe()


def test_an_order_that_ended_is_not_started_again_after_temporal_forgot_it() -> None:
    assert next_action(known(an_order_resource(status=COMPLETED_STATUS))) == Finish()


def test_an_end_that_a_status_shows_takes_no_finalizer_off_before_temporal_has_answered() -> None:
    """A status can be forged: no order shows an end and carries the finalizer by itself."""
    forged = known(an_order_resource(status=COMPLETED_STATUS, finalizers=[FINALIZER]))

    assert next_action(replace(forged, connection=AWAY)) == Wait(AGAIN_SECONDS)
    assert next_action(replace(forged, synced=False)) == Wait()
    assert next_action(forged) == Describe()
    assert next_action(replace(forged, asked=True)) == Finish()


def test_an_edit_of_an_order_that_ended_is_acknowledged_once_temporal_knows_no_run() -> None:
    edited = known(an_order_resource(status=COMPLETED_STATUS, generation=2))

    assert next_action(edited) == Describe()
    assert status_of(next_action(replace(edited, asked=True)))["observedGeneration"] == 2


# A run that came to no end of its order

STOPS = [
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
]


@pytest.mark.parametrize("run", STOPS)
def test_a_run_that_stopped_without_an_end_of_its_order_gets_a_next_one(run: WorkflowExecutionStatus) -> None:
    assert next_action(known(observation=stopped(run))) == TakeOver(stopped(run))


@pytest.mark.parametrize(("takeovers", "seconds"), [(1, 9), (2, 19), (20, 3_599)])
def test_a_run_that_stops_again_waits_longer_each_time(takeovers: int, seconds: int) -> None:
    again = shown(known(observation=stopped(takeovers=takeovers)))

    assert next_action(again) == Wait(seconds)
    assert ready(again.order.status)[1] == Reason.RUN_STOPPED


def test_a_run_that_stops_again_is_taken_over_once_its_time_has_come() -> None:
    again = known(observation=stopped(takeovers=1), now=NOW + timedelta(seconds=60))

    assert isinstance(next_action(again), TakeOver)


def test_an_order_that_failed_by_its_own_decision_is_finished() -> None:
    failed = an_observation(status=WorkflowExecutionStatus.FAILED, snapshot=a_snapshot(status="Order Failed"))

    assert next_action(shown(known(observation=failed))) == Finish()


def test_a_run_that_nobody_can_take_over_is_told_to_people() -> None:
    later = CLOCK + 10
    unread = shown(known(observation=stopped(), takeover_problem=NOT_TAKEN_OVER, takeover_again_at=later))

    assert ready(unread.order.status) == ("False", Reason.WORKFLOW_TERMINATED)
    assert next_action(unread) == Wait(10.0)
    assert isinstance(next_action(replace(unread, clock=later)), TakeOver)


def test_a_stopped_run_is_not_taken_over_while_temporal_is_away() -> None:
    assert isinstance(next_action(known(observation=stopped(), connection=AWAY)), WriteStatus)


# What is shown


def test_a_run_is_shown() -> None:
    status = status_of(next_action(known(observation=RUNS)))

    assert (status["phase"], status["orderStatus"]) == ("Running", "Charge Customer")


def test_what_is_shown_already_is_not_written_again() -> None:
    assert isinstance(next_action(shown(known(observation=RUNS))), Wait)


@pytest.mark.parametrize("run", [RUNS, an_observation(snapshot=None)], ids=["older", "just begun"])
@pytest.mark.parametrize(
    "status", [{"phase": "Completed"}, {"phase": "Running", "progress": 83}], ids=["an end", "more progress"]
)
def test_a_status_is_not_put_back_to_what_was_seen_of_its_run_without_a_question_to_temporal(
    status: dict[str, Any], run: Observation
) -> None:
    """Two operators at once put a completed order back to its beginning, and gave it its finalizer again."""
    order = an_order_resource(status={**status, "observedGeneration": 1, "workflow": WORKFLOW})
    facts = known(order, observation=run)

    assert next_action(facts) == Describe()
    assert (
        status_of(next_action(replace(facts, order=replace(order, finalizers=(FINALIZER,)), asked=True)))["phase"]
        == "Running"
    )
    assert next_action(replace(facts, connection=AWAY)) != Describe()


SHIPS = at(OrderStatus.SHIP_ORDER)


def test_a_status_that_has_just_been_seen_may_be_gone_in_a_moment_and_is_not_written_yet() -> None:
    later = replace(shown(known(observation=RUNS)), observation=SHIPS, status_seen_at=CLOCK)

    action = next_action(later)
    assert isinstance(action, Wait)
    assert action.seconds == pytest.approx(LASTING_SECONDS)


def test_a_status_that_lasts_is_shown_within_a_second() -> None:
    lasting = replace(shown(known(observation=RUNS)), observation=SHIPS, status_seen_at=CLOCK - LASTING_SECONDS)

    assert shown(lasting).order.status["orderStatus"] == "Ship Order"


def test_two_writes_of_progress_are_half_a_second_apart() -> None:
    written = replace(shown(known(observation=RUNS)), observation=SHIPS, written_at=CLOCK - 0.25)

    assert next_action(written) == Wait(0.25)


def test_while_much_is_written_progress_waits() -> None:
    busy = replace(shown(known(observation=RUNS)), observation=SHIPS, quiet=False, status_seen_at=CLOCK - 29)

    assert next_action(busy) == Wait(BUSY_SECONDS)


def test_progress_that_lasts_is_shown_however_much_is_written() -> None:
    """In a busy shop it was never shown."""
    busy = replace(shown(known(observation=RUNS)), observation=SHIPS, quiet=False, status_seen_at=CLOCK - 30)

    assert isinstance(next_action(busy), WriteStatus)


def test_a_wait_that_follows_another_is_shown_at_once() -> None:
    """Its phase is the same. While much was written nobody was asked for the approval, and the order expired."""
    stock = shown(known(observation=at(OrderStatus.AWAIT_STOCK)))

    approval = replace(
        stock, observation=at(OrderStatus.AWAIT_APPROVAL), quiet=False, written_at=CLOCK, status_seen_at=CLOCK
    )
    assert isinstance(next_action(approval), WriteStatus)


def test_another_phase_is_shown_at_once() -> None:
    first = shown(known(observation=RUNS))

    at_once = replace(first, observation=ENDED, written_at=CLOCK, status_seen_at=CLOCK, quiet=False)
    assert isinstance(next_action(at_once), WriteStatus)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"observation": an_observation(snapshot=None, unreadable=True)}, Reason.SNAPSHOT_UNREADABLE),
        ({"observation": replace(RUNS, input_hash="another")}, Reason.WORKFLOW_MISMATCH),
        ({"observation": replace(RUNS, task_problems=("UnhandledFailure",))}, Reason.WORKFLOW_TASK_FAILED),
    ],
)
def test_what_keeps_an_order_from_being_followed_takes_a_person(facts: dict[str, Any], reason: Reason) -> None:
    stuck = shown(known(an_order_resource(status=WAITING_STATUS), **facts))

    assert ready(stuck.order.status) == ("False", reason)
    assert isinstance(next_action(stuck), Wait)


@pytest.mark.parametrize("status", [{}, {"workflow": {"id": "order/shop/order-1/u1"}}], ids=["nothing", "a workflow"])
def test_a_run_that_cannot_be_read_is_told_of_an_order_that_shows_no_phase(status: dict[str, Any]) -> None:
    """It raised KeyError at every look, and the order showed nothing at all."""
    stuck = shown(known(an_order_resource(status=status), observation=replace(RUNS, unreadable=True)))

    assert stuck.order.status["phase"] == "Pending"
    assert ready(stuck.order.status) == ("False", Reason.SNAPSHOT_UNREADABLE)


@pytest.mark.parametrize("status", [status for status in OrderStatus if status.terminal])
def test_an_order_that_has_ended_is_finished_with(status: OrderStatus) -> None:
    assert next_action(shown(known(observation=at(status)))) == Finish()


# The finalizer


def test_an_order_that_may_end_at_once_gets_no_finalizer_with_its_first_status() -> None:
    assert isinstance(next_action(known(observation=RUNS)), WriteStatus)


def test_a_running_order_that_lasts_is_looked_at_again_and_gets_the_finalizer() -> None:
    young = shown(known(observation=RUNS))

    assert next_action(young) == Wait(FINALIZER_AGE_SECONDS - young.order.age(NOW))
    older = replace(young, now=NOW + timedelta(seconds=FINALIZER_AGE_SECONDS))
    assert next_action(older) == SetFinalizer(True)
    assert next_action(replace(older, quiet=False, status_seen_at=CLOCK)) == Wait(BUSY_SECONDS)


def test_an_order_that_lasts_for_minutes_gets_the_finalizer_however_much_is_written() -> None:
    """In a busy shop an order that was tried for hours had none, and its deletion while no operator ran was lost."""
    busy = replace(shown(known(observation=RUNS)), quiet=False, status_seen_at=CLOCK - 30)
    later = [replace(busy, now=busy.order.created + timedelta(seconds=age)) for age in (119, 120)]

    assert [next_action(each) for each in later] == [Wait(BUSY_SECONDS), SetFinalizer(True)]


@pytest.mark.parametrize("policy", ["Cancel", "Orphan"])
def test_an_order_that_waits_carries_the_finalizer_whatever_its_policy(policy: str) -> None:
    """B6: one of policy Orphan that nobody watched was cancelled like any other."""
    order = an_order_resource(spec=an_order_spec(deletion_policy=policy).model_dump(mode="json", exclude_none=True))

    assert next_action(known(order, observation=WAITS)) == SetFinalizer(True)


def test_a_finalizer_that_somebody_took_off_comes_back() -> None:
    waiting = shown(known(observation=WAITS))

    assert next_action(replace(waiting, order=replace(waiting.order, finalizers=()))) == SetFinalizer(True)


def test_the_finalizer_goes_with_the_end() -> None:
    waiting = shown(known(observation=WAITS))

    assert next_action(replace(waiting, observation=ENDED)) == SetFinalizer(False)


# Edits

OTHER_ADDRESS = an_order_spec(shipping_address=an_address(city="Shelbyville"))


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


def test_every_end_has_a_phase_that_is_final() -> None:
    assert {status.phase for status in OrderStatus if status.terminal} == set(TERMINAL_PHASES)


# Whether the name of who decides is proven.

UNDECIDED = an_observation(
    snapshot=a_snapshot(
        status=OrderStatus.AWAIT_APPROVAL,
        current_step="Approval",
        approval={"required": True, "requires": "approve"},
        lines_digest=digest([a_line()]),
    )
)
PROVEN = Evidence(Proof.POLICY)
CLAIMED = Evidence(Proof.CLAIMED, "the admission policy order-platform-orders is not installed")


def decided(**facts: Any) -> Known:
    """An order that waits, in whose spec somebody has decided."""
    spec = an_order_resource().spec | {"approval": {"decision": "Approved", "by": "bob"}}
    return known(an_order_resource(spec=spec), observation=UNDECIDED, **facts)


def test_a_decision_waits_for_the_first_look_at_the_policies() -> None:
    assert next_action(decided(evidence=None)) == Wait(LOOK_GRACE_SECONDS)


def test_an_order_without_a_decision_waits_for_no_look() -> None:
    assert next_action(known(observation=UNDECIDED, evidence=None)) == next_action(known(observation=UNDECIDED))


@pytest.mark.parametrize("evidence", [PROVEN, CLAIMED], ids=["proven", "claimed"])
def test_a_decision_is_sent_with_what_is_proven(evidence: Evidence) -> None:
    action = next_action(decided(evidence=evidence))

    assert isinstance(action, Send)
    [change] = action.changes
    assert isinstance(change.argument, Decision)
    assert change.argument.proof is evidence.proof


def test_where_proof_is_required_a_proven_decision_is_sent() -> None:
    action = next_action(decided(evidence=PROVEN, require_proof=True))

    assert isinstance(action, Send)


def test_where_proof_is_required_a_claimed_decision_is_not_sent_and_the_order_says_why() -> None:
    facts = decided(evidence=CLAIMED, require_proof=True)

    facts = shown(facts)

    applied = next(each for each in facts.order.status["conditions"] if each["type"] == "SpecApplied")
    assert (applied["status"], applied["reason"]) == ("False", "ProofRequired")
    assert (
        "nothing proves that bob decided: the admission policy order-platform-orders is not installed"
        in (applied["message"])
    )
    assert next_action(facts) == Wait(LOOK_SECONDS)
    assert facts.order.status["observedGeneration"] == facts.order.generation


def refused_for_bob(**facts: Any) -> Known:
    """The same, and the workflow has refused the decision, since bob had edited the order last."""
    first = decided(evidence=PROVEN)
    assert isinstance(first.order.decoded, ParsedSpec)
    [change] = plan(first.order.decoded, 1, UID, first.observation.snapshot if first.observation else a_snapshot())
    refused = {change.update_id: Refusal(Group.APPROVAL, "OwnEdit", "bob edited this last")}
    return replace(first, edits=EditState(refused=refused), **facts)


def since_edited(facts: Known, generation: int, **changes: Any) -> Known:
    """Somebody else has edited the order since."""
    spec = {**facts.order.spec, "editedBy": "carol", **changes}
    return replace(facts, order=replace(facts.order, spec=spec, generation=generation))


def applied(facts: Known) -> tuple[str, str]:
    [condition] = [each for each in facts.order.status["conditions"] if each["type"] == "SpecApplied"]
    return condition["reason"], condition.get("message", "")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_decision_that_was_refused_for_its_decider_stays_refused_when_somebody_else_edits_the_order(
    restarted: bool,
) -> None:
    """It came into force with that person's edit, though its author had never seen it."""
    facts = shown(refused_for_bob())
    facts = since_edited(facts, 2)

    facts = shown(replace(facts, edits=EditState()) if restarted else facts)

    assert applied(facts) == ("OwnEdit", "spec.approval: bob edited this last")
    assert facts.order.status["observedGeneration"] == 2


def test_a_decision_whose_refusal_is_not_shown_yet_stays_refused_too() -> None:
    facts = shown(since_edited(refused_for_bob(), 2))

    assert applied(facts)[0] == "OwnEdit"


def test_a_decision_that_was_taken_back_and_written_again_is_sent() -> None:
    facts = shown(refused_for_bob())
    taken_back = shown(since_edited(facts, 2, approval=None))
    assert applied(taken_back)[0] == "Applied"

    assert isinstance(next_action(since_edited(taken_back, 3, approval={"decision": "Approved", "by": "bob"})), Send)


def test_a_decision_of_somebody_else_is_sent_though_one_was_refused() -> None:
    facts = shown(refused_for_bob())

    assert isinstance(next_action(since_edited(facts, 2, approval={"decision": "Approved", "by": "dan"})), Send)


def test_where_proof_is_required_an_order_that_is_decided_shows_no_refusal() -> None:
    snapshot = a_snapshot(approval={"required": True, "decision": "Approved", "by": "bob"})
    spec = an_order_resource().spec | {"approval": {"decision": "Approved", "by": "bob"}}
    facts = known(
        an_order_resource(spec=spec), observation=an_observation(snapshot=snapshot), evidence=None, require_proof=True
    )

    applied = next(each for each in shown(facts).order.status["conditions"] if each["type"] == "SpecApplied")
    assert applied["status"] == "True"
