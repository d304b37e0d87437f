"""What keeps a run's history below the 51,200 events at which Temporal ends it, and with it the order."""

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from builders import an_order_input
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from order_domain.refusals import RefusalType
from order_domain.retry import StepRetry
from order_workflows import acceptance, answers, local_activities, remote_activities, timing
from order_workflows.activities.effect import Outcome
from order_workflows.contract import UNREADABLE_YET
from order_workflows.order_run import SHOWN_REFUSALS, OrderRun
from order_workflows.publishing import Debounce

ALLOWED = 51_200
EVENTS_PER_ROUND = 26
"""Of a step that is tried four times between two timers."""
SHORT, LONG = 9_999, 10_000


class Run:
    """What workflow code sees of Temporal, with a history of any length."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events, self.size = SHORT, 0
        self.now = datetime(2026, 11, 28, tzinfo=UTC)
        self.slept: list[timedelta] = []
        self.failures: list[Exception] = []
        self.knows = True
        """Whether the run began with the code of today."""
        info = SimpleNamespace(
            get_current_history_length=lambda: self.events, get_current_history_size=lambda: self.size
        )
        monkeypatch.setattr(workflow, "info", lambda: info)
        monkeypatch.setattr(workflow, "now", lambda: self.now)
        monkeypatch.setattr(workflow, "sleep", self._sleep)
        monkeypatch.setattr(workflow, "patched", lambda _: self.knows)
        monkeypatch.setattr(workflow, "logger", logging.getLogger("test"))
        monkeypatch.setattr(workflow, "execute_local_activity_method", self._activity)
        monkeypatch.setattr(workflow, "execute_activity_method", self._activity)

    async def _sleep(self, pause: timedelta, **_: object) -> None:
        self.slept.append(pause)
        self.now += pause

    async def _activity(self, *_: object, **__: object) -> Outcome:
        if self.failures:
            raise self.failures.pop(0)
        return Outcome()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch)


@pytest.fixture
def order() -> OrderRun:
    return OrderRun(an_order_input())


async def tried(run: Run, failures: int, retry: StepRetry) -> list[timedelta]:
    """The pauses of a step that fails so often. They are those that the order shows."""
    run.failures = [ApplicationError("away")] * failures
    shown: list[timedelta] = []
    activity: Any = None
    await local_activities.as_class_says(
        activity, None, retry, failed=lambda _attempts, _error, pause: shown.append(pause)
    )
    assert shown == run.slept
    return shown


async def test_a_step_in_a_short_history_is_tried_as_its_class_says(run: Run) -> None:
    pauses = await tried(run, 3, StepRetry(initial_seconds=20, max_interval_seconds=20))

    assert pauses == [timedelta(seconds=20)] * 3


async def test_a_step_in_a_long_history_is_tried_less_and_less_often(run: Run) -> None:
    """A day or two of rounds filled the history, and Temporal ended the run."""
    run.events = LONG

    pauses = await tried(run, 7, StepRetry(initial_seconds=20, max_interval_seconds=20))

    assert [pause.total_seconds() / 60 for pause in pauses] == [0.5, 1, 2, 4, 8, 15, 15]


async def test_a_pause_in_a_long_history_keeps_to_the_total_time_of_the_class(run: Run) -> None:
    run.events = LONG

    pauses = await tried(run, 2, StepRetry(initial_seconds=20, max_interval_seconds=20, total_seconds=55))

    assert pauses == [timedelta(seconds=30), timedelta(seconds=25)]


async def test_a_ledger_that_is_away_is_asked_less_and_less_often_in_a_long_history(run: Run) -> None:
    run.events, run.failures = LONG, [ApplicationError("away")] * 6
    activity: Any = None

    await local_activities.until_done(activity, None, failed=lambda *_: None)

    assert run.slept[-1] == timedelta(minutes=15)


async def test_a_missing_key_is_waited_for_longer_in_a_very_long_history(run: Run) -> None:
    run.events = 40_000
    run.failures = [ApplicationError("no key", type=next(iter(UNREADABLE_YET)))] * 12
    activity: Any = None

    await remote_activities.carried_out(activity, None, timing.remote(StepRetry()))

    assert run.slept[-1] == timedelta(hours=6)


def test_a_step_without_limit_is_tried_for_months() -> None:
    events, rounds, waited = 0, 0, timedelta(0)
    while events < ALLOWED - 1_000:  # what is left is for the undoing
        rounds += 1
        waited += timing.in_history(timedelta(seconds=30), rounds, events)
        events += EVENTS_PER_ROUND

    assert waited > timedelta(days=100)


def test_edits_by_signal_are_counted(run: Run, order: OrderRun) -> None:
    for _ in range(acceptance.MAX_EDITS):
        assert answers.accepts_edit(order, "update_address", None)

    refusal = acceptance.refusal_of_any_edit(order)
    assert refusal is not None
    assert refusal.type is RefusalType.TOO_MANY_EDITS


async def test_the_thousand_and_first_edit_by_signal_is_dropped(run: Run, order: OrderRun) -> None:
    order.edits = acceptance.MAX_EDITS

    assert not answers.accepts_edit(order, "update_address", None)
    assert order.edits == acceptance.MAX_EDITS


def test_edits_by_signal_of_a_run_that_began_before_stay_as_they_were(run: Run, order: OrderRun) -> None:
    """Its history says that they were followed."""
    order.edits, run.knows, run.events = acceptance.MAX_EDITS, False, acceptance.EDIT_EVENTS

    assert answers.accepts_edit(order, "update_address", None)


@pytest.mark.parametrize(("events", "size"), [(acceptance.EDIT_EVENTS, 0), (0, acceptance.EDIT_BYTES)])
async def test_a_long_history_takes_no_edit(run: Run, order: OrderRun, events: int, size: int) -> None:
    """A hundred edits of an order of many lines are as many bytes as Temporal allows in half."""
    run.events, run.size = events, size

    refusal = acceptance.refusal_of_edit_in_long_history(order)

    assert refusal is not None
    assert refusal.type is RefusalType.TOO_MANY_EDITS
    assert not answers.accepts_edit(order, "update_address", None)


def test_a_history_of_ordinary_length_takes_edits(run: Run, order: OrderRun) -> None:
    run.events, run.size = acceptance.EDIT_EVENTS - 1, acceptance.EDIT_BYTES - 1

    assert acceptance.refusal_of_edit_in_long_history(order) is None
    assert answers.accepts_edit(order, "update_address", None)


def test_thousands_of_signals_in_vain_are_shown_a_hundred_times(
    run: Run, order: OrderRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each had a timer and a memo in the history."""
    shown = 0

    def start(_: Debounce) -> None:
        nonlocal shown
        shown += 1

    monkeypatch.setattr(Debounce, "start", start)

    for number in range(SHOWN_REFUSALS + 5):
        order.refused("approve", f"reason {number}")

    assert shown == SHOWN_REFUSALS
    assert order.last_refusal is not None
    assert order.last_refusal.reason == f"reason {SHOWN_REFUSALS - 1}"
