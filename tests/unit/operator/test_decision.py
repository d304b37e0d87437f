"""The operator's specification: what is known of an order, and the one thing to do next. What is shown, and when, is in
test_display.py; edits are in test_edits.py and test_proven_decisions.py; an order that is deleted is in
test_deletion.py."""

from dataclasses import replace
from datetime import timedelta

import pytest
from builders import a_snapshot, an_observation, an_order_resource, an_order_spec
from order_facts import (
    AWAY,
    CLASS,
    CLOCK,
    COMPLETED_STATUS,
    NO_CLASS,
    NOW,
    OF_AN_EARLIER_RUN,
    STOPS,
    WAITING_STATUS,
    WAITS,
    WORKFLOW,
    known,
    ready,
    shown,
    status_of,
    stopped,
)
from temporalio.client import WorkflowExecutionStatus

from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import (
    Confirm,
    Describe,
    Finish,
    SetFinalizer,
    Start,
    TakeOver,
    Wait,
    WriteStatus,
)
from order_operator.orders.decision import next_action
from order_operator.orders.display import AGAIN_SECONDS
from order_operator.orders.resource import OrderResource
from order_operator.orders.takeover import NOT_TAKEN_OVER
from order_operator.problem import Problem
from order_operator.temporal.connection import NOT_ANSWERED

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
