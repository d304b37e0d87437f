"""The operator's specification of deletions: what is known of an order whose resource goes, and what to do next."""

from dataclasses import replace
from typing import Any

import pytest
from builders import an_observation, an_order_resource, an_order_spec
from order_facts import (
    AWAY,
    CLOCK,
    COMPLETED_STATUS,
    ENDED,
    OTHER_ADDRESS,
    RUNS,
    STOPS,
    WAITING_STATUS,
    WAITS,
    at,
    known,
    ready,
    shown,
    stopped,
)
from temporalio.client import WorkflowExecutionStatus

from order_codec.undecodable import KeyMissing
from order_domain.snapshot import CompensationState, ErrorRecord
from order_domain.status import OrderStatus
from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import Cancel, Describe, Forget, Release, Send, SetFinalizer, Start, TakeOver, Wait
from order_operator.orders.amendment import Group
from order_operator.orders.decision import next_action
from order_operator.orders.display import AGAIN_SECONDS
from order_operator.orders.edit_state import EditState
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.takeover import NOT_TAKEN_OVER, unreadable_beginning
from order_operator.problem import Problem

DELETED = "2026-01-02T03:04:01Z"

# A resource that is being deleted


def deleting(policy: str = "Cancel", **facts: Any) -> Known:
    spec = an_order_spec(deletion_policy=policy).model_dump(mode="json", exclude_none=True)
    order = an_order_resource(
        spec=spec, status=WAITING_STATUS, finalizers=[FINALIZER], deletionTimestamp=DELETED, generation=2
    )
    return known(order, **facts)


def test_a_deletion_cancels_the_open_run() -> None:
    assert next_action(deleting(observation=WAITS)) == Cancel(WAITS)


def test_a_run_that_was_told_is_waited_for() -> None:
    told = shown(deleting(observation=WAITS, told=True))

    assert told.order.held
    assert next_action(told) == Wait(AGAIN_SECONDS)


@pytest.mark.parametrize("state", CompensationState)
def test_a_run_that_is_being_undone_is_not_cancelled_again(state: CompensationState) -> None:
    undoing = deleting(observation=at(OrderStatus.COMPENSATE_ORDER, compensation=state))

    assert next_action(shown(undoing)) == Wait(AGAIN_SECONDS)


def test_an_edit_of_an_order_that_is_being_deleted_is_not_called_applied() -> None:
    """B33: it showed SpecApplied though nobody had heard of it."""
    spec = OTHER_ADDRESS.model_dump(mode="json", exclude_none=True)
    facts = deleting(observation=WAITS, told=True)

    edited_too_late = shown(replace(facts, order=replace(facts.order, spec=spec)))

    [applied] = [item for item in edited_too_late.order.status["conditions"] if item["type"] == "SpecApplied"]
    assert (applied["status"], applied["reason"]) == ("False", "OrderEnding")


def test_a_deletion_that_a_person_has_to_make_possible_says_so() -> None:
    error = ErrorRecord(type="PaymentUnavailable", message="the provider is away")
    review = at(OrderStatus.MANUAL_REVIEW, compensation=CompensationState.FAILED, last_error=error)

    assert ready(shown(deleting(observation=review)).order.status) == ("False", Reason.DELETION_BLOCKED)


def in_review(policy: str = "Cancel", *, retry: int = 0, **facts: Any) -> Known:
    """A deletion that waits for a repair, and of which the workflow has heard."""
    error = ErrorRecord(type="PaymentUnavailable", message="the provider is away")
    review = at(OrderStatus.MANUAL_REVIEW, compensation=CompensationState.FAILED, last_error=error)
    waits = deleting(policy, observation=review, told=True, **facts)
    return replace(waits, order=replace(waits.order, spec={**waits.order.spec, "retry": retry}))


def test_a_deletion_that_waits_for_a_repair_is_tried_again_when_a_person_says_so() -> None:
    """The status asked for it, and nobody heard it."""
    action = next_action(in_review(retry=1))

    assert isinstance(action, Send)
    assert [change.group for change in action.changes] == [Group.RETRY]
    asked = shown(in_review(retry=1, edits=EditState(waiting=frozenset({action.changes[0].update_id}))))
    assert next_action(asked) == Wait(AGAIN_SECONDS)
    [applied] = [item for item in asked.order.status["conditions"] if item["type"] == "SpecApplied"]
    assert applied["status"] == "True"


@pytest.mark.parametrize("run", STOPS)
def test_a_deletion_waits_where_a_stopped_run_cannot_be_read(run: WorkflowExecutionStatus) -> None:
    """The finalizer came off, and what was charged stayed so."""
    unread = an_observation(status=run, snapshot=None, unreadable=True, lacks_key=True, unreadable_because="key k1")
    held = shown(deleting(observation=unread, asked=True))

    assert held.order.held
    assert ready(held.order.status) == ("False", Reason.ENCRYPTION_KEY_MISSING)
    assert next_action(held) == Wait(60.0)
    assert next_action(deleting("Orphan", observation=unread, asked=True)) == SetFinalizer(False)


def test_a_deletion_waits_while_temporal_cannot_be_asked() -> None:
    away = shown(deleting(observation=None, connection=AWAY))

    assert away.order.held
    assert ready(away.order.status) == ("Unknown", Reason.TEMPORAL_UNAVAILABLE)


@pytest.mark.parametrize("run", [None, ENDED], ids=["no run seen", "an end seen"])
def test_a_finalizer_comes_off_only_after_temporal_itself_has_answered(run: Observation | None) -> None:
    assert next_action(deleting(observation=run)) == Describe()


def test_a_resource_goes_once_temporal_has_said_that_its_run_has_ended() -> None:
    assert next_action(deleting(observation=ENDED, asked=True)) == SetFinalizer(False)


def held_by_another(facts: Known) -> Known:
    """Our finalizer is off, and somebody else's is still on."""
    return replace(facts, order=replace(facts.order, finalizers=("example.com/keep",)))


def test_the_end_of_an_order_that_only_anothers_finalizer_holds_is_shown_and_looked_at_no_more() -> None:
    """B33: the status said for ever that the order waits."""
    ended = shown(held_by_another(deleting(observation=ENDED, asked=True)))

    assert (ended.order.status["phase"], next_action(ended)) == ("Completed", Wait())


def test_an_end_that_a_status_shows_stays_where_temporal_has_forgotten_the_run() -> None:
    facts = held_by_another(deleting(asked=True))

    assert next_action(replace(facts, order=replace(facts.order, status=COMPLETED_STATUS))) == Wait()


def test_an_order_that_another_resource_has_taken_over_shows_nothing_of_it() -> None:
    adopted = replace(ENDED, key=ENDED.key._replace(uid="uid-of-another"))

    assert next_action(held_by_another(deleting(observation=adopted, asked=True))) == Wait()


def test_an_order_that_goes_on_alone_is_shown_as_long_as_anothers_finalizer_holds_it() -> None:
    orphan = held_by_another(deleting("Orphan", observation=replace(at(OrderStatus.SHIP_ORDER), orphaned=True)))

    assert shown(orphan).order.status["orderStatus"] == OrderStatus.SHIP_ORDER


def test_a_deletion_of_an_order_whose_history_is_lost_asks_the_ledger_first() -> None:
    assert isinstance(next_action(deleting(asked=True)), Start)


def test_a_deletion_of_an_order_with_a_workflow_in_another_temporal_namespace_waits() -> None:
    waits = shown(deleting(asked=True, temporal_namespace="another"))

    assert waits.order.held
    assert ready(waits.order.status) == ("False", Reason.WORKFLOW_ELSEWHERE)
    assert next_action(waits) == Wait()


def test_with_policy_orphan_an_order_with_a_workflow_in_another_temporal_namespace_is_let_go() -> None:
    assert next_action(deleting("Orphan", asked=True, temporal_namespace="another")) == SetFinalizer(False)


@pytest.mark.parametrize("policy", ["Cancel", "Orphan"])
def test_an_order_that_is_gone_begins_nothing_beside_its_workflow_in_another_temporal_namespace(policy: str) -> None:
    lost = gone(policy, asked=True, temporal_namespace="another")

    assert next_action(replace(lost, order=replace(lost.order, status=WAITING_STATUS))) == Forget()


def test_what_is_begun_for_such_an_order_undoes_it_and_carries_nothing_out() -> None:
    """Started as a new order it could charge before its cancellation came."""
    action = next_action(deleting(asked=True))

    assert isinstance(action, Start)
    assert action.to_undo


def test_one_of_policy_orphan_goes_on_alone_also_where_its_history_is_lost() -> None:
    action = next_action(deleting("Orphan", asked=True))

    assert isinstance(action, Start)
    assert not action.to_undo


def test_a_finalizer_tells_of_a_workflow_where_the_status_was_wiped() -> None:
    facts, orphan = deleting(asked=True), deleting("Orphan", asked=True)

    assert isinstance(next_action(replace(facts, order=replace(facts.order, status={}))), Start)
    assert next_action(replace(orphan, order=replace(orphan.order, status={}))) == SetFinalizer(False)


def test_a_run_that_stopped_half_way_is_undone_before_its_resource_goes() -> None:
    assert isinstance(next_action(deleting(observation=stopped(), asked=True)), TakeOver)


def test_a_deletion_waits_for_the_key_that_a_stopped_run_is_taken_over_with() -> None:
    lacking = unreadable_beginning(KeyMissing("summer"))
    facts = deleting(observation=stopped(), asked=True, takeover_problem=lacking, takeover_again_at=CLOCK + 10)

    assert next_action(shown(facts)) == Wait(10.0)
    assert isinstance(next_action(replace(facts, clock=CLOCK + 10)), TakeOver)


def test_an_order_that_is_gone_is_not_forgotten_while_the_key_of_its_stopped_run_is_missing() -> None:
    lacking = unreadable_beginning(KeyMissing("summer"))
    facts = gone(observation=stopped(), asked=True, takeover_problem=lacking, takeover_again_at=CLOCK + 10)

    assert next_action(facts) == Wait(10.0)
    assert isinstance(next_action(replace(facts, clock=CLOCK + 10)), TakeOver)
    assert next_action(replace(facts, takeover_problem=NOT_TAKEN_OVER)) == Forget()


def test_with_policy_orphan_the_resource_goes_once_the_run_itself_says_that_it_goes_on_alone() -> None:
    assert next_action(deleting("Orphan", observation=WAITS)) == Release(WAITS)
    assert next_action(deleting("Orphan", observation=WAITS, told=True)) == Describe()
    assert next_action(shown(deleting("Orphan", observation=WAITS, told=True, asked=True))) == Wait(2.0)
    assert next_action(deleting("Orphan", observation=replace(WAITS, orphaned=True))) == SetFinalizer(False)


def test_a_cancellation_that_found_no_open_run_is_looked_into() -> None:
    """B13: a vanished workflow kept its order's finalizer for ever."""
    assert next_action(deleting(observation=WAITS, doubted=True)) == Describe()


# A resource that is gone


def gone(policy: str = "Cancel", **facts: Any) -> Known:
    spec = an_order_spec(deletion_policy=policy).model_dump(mode="json", exclude_none=True)
    return known(an_order_resource(spec=spec), gone=True, **facts)


def test_temporal_is_asked_for_the_run_of_a_resource_that_is_gone() -> None:
    assert next_action(gone(observation=RUNS)) == Describe()


def test_a_young_order_that_was_deleted_is_cancelled() -> None:
    assert next_action(gone(observation=RUNS, asked=True)) == Cancel(RUNS)
    assert next_action(gone(observation=RUNS, asked=True, told=True)) == Forget()


def test_one_of_policy_orphan_is_told_that_it_goes_on_alone() -> None:
    assert next_action(gone("Orphan", observation=RUNS, asked=True)) == Release(RUNS)


@pytest.mark.parametrize("run", [None, ENDED])
def test_one_without_an_open_run_is_forgotten(run: Observation | None) -> None:
    assert next_action(gone(observation=run, asked=True)) == Forget()


@pytest.mark.parametrize(("policy", "to_undo"), [("Cancel", True), ("Orphan", False)])
def test_one_whose_history_is_lost_asks_the_ledger_though_nobody_waits_for_it(policy: str, to_undo: bool) -> None:
    lost = gone(policy, asked=True)
    lost = replace(lost, order=replace(lost.order, status=WAITING_STATUS))

    action = next_action(lost)

    assert isinstance(action, Start)
    assert action.to_undo is to_undo


def test_a_start_that_temporal_refuses_is_not_tried_again_at_once() -> None:
    """It was tried twenty times in a row, every second."""
    refused = Problem(Reason.TEMPORAL_REFUSED, "the workflow id is too long", stalled=True)
    waits = shown(deleting(asked=True, refused=refused))

    assert waits.order.held
    assert next_action(waits) == Wait(60.0)
    lost = gone(asked=True, refused=refused)
    assert next_action(replace(lost, order=replace(lost.order, status=WAITING_STATUS))) == Wait(60.0)


def test_one_that_had_ended_asks_nobody() -> None:
    ended = gone(asked=True)
    ended = replace(ended, order=replace(ended.order, status=COMPLETED_STATUS))

    assert next_action(ended) == Forget()


def test_nothing_is_forgotten_while_temporal_cannot_be_asked() -> None:
    assert next_action(gone(connection=AWAY)) == Wait(AGAIN_SECONDS)
