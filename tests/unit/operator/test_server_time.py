"""From which time on Temporal may still write rows."""

from datetime import UTC, datetime, timedelta

import pytest

from order_operator.temporal import server_time as module
from order_operator.temporal.server_time import TRUSTED_SECONDS, ServerTime
from order_workflows.contract import WORKFLOW_TASK_TIMEOUT

NOW = datetime.now(UTC)
TASK = WORKFLOW_TASK_TIMEOUT.total_seconds()


class Clock:
    """What time.monotonic says."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("elapsed", "further"),
    [
        (0.0, 0.0),
        (TASK - 1, 0.0),  # a task that began at the newest time may write it only now
        (TASK + 3, 3.0),
        (TRUSTED_SECONDS, TRUSTED_SECONDS - TASK),
        (86_400.0, TRUSTED_SECONDS - TASK),  # two clocks run apart in a day
    ],
)
def test_while_no_row_changes_the_time_goes_on_behind_a_task_s_time_out(
    clock: Clock, elapsed: float, further: float
) -> None:
    server = ServerTime()
    server.saw(NOW)

    clock.seconds += elapsed

    assert server.passed == NOW + timedelta(seconds=further)
    assert server.newest == NOW


def test_a_newer_row_is_counted_from_anew(clock: Clock) -> None:
    server = ServerTime()
    server.saw(NOW - timedelta(hours=1))
    clock.seconds += 30

    server.saw(NOW)
    server.saw(NOW - timedelta(minutes=1))

    assert server.passed == NOW


def test_before_there_is_a_row_no_time_is_known() -> None:
    assert ServerTime().passed is None
