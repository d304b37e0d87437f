"""The operator's specification of what is shown of an order, and when, and of the finalizer that goes with it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import an_observation, an_order_resource, an_order_spec
from order_facts import (
    AWAY,
    CLOCK,
    ENDED,
    NOW,
    RUNS,
    WAITING_STATUS,
    WAITS,
    WORKFLOW,
    at,
    known,
    ready,
    shown,
    status_of,
)

from order_domain.status import TERMINAL_PHASES, OrderStatus
from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import (
    Describe,
    Finish,
    SetFinalizer,
    Wait,
    WriteStatus,
)
from order_operator.orders.decision import next_action
from order_operator.orders.display import BUSY_SECONDS, FINALIZER_AGE_SECONDS, LASTING_SECONDS
from order_operator.orders.observation import Observation

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


def test_every_end_has_a_phase_that_is_final() -> None:
    assert {status.phase for status in OrderStatus if status.terminal} == set(TERMINAL_PHASES)


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
