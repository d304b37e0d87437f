"""How often and how long the workflow tries, as pure functions."""

from datetime import timedelta

import pytest

from order_domain.retry import StepRetry
from order_workflows import timing

EVENTS_PER_ROUND = 8
"""Of a round without an answer: a workflow task, its markers, the memo, the timer."""


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        (StepRetry(), 0),
        (StepRetry(max_attempts=3), 3),
        (StepRetry(total_seconds=20), 5),  # at 0, 1, 3, 7 and 15 seconds
        (StepRetry(total_seconds=20, max_attempts=2), 2),
        (StepRetry(total_seconds=3, start_to_close_seconds=1, max_interval_seconds=1), 3),
        (StepRetry(total_seconds=15, max_interval_seconds=100), 4),  # the fifth would begin at 15
        (StepRetry(total_seconds=31_536_000, max_interval_seconds=1), 31_536_000),
    ],
)
def test_the_total_time_of_a_class_is_a_number_of_attempts(retry: StepRetry, attempts: int) -> None:
    assert timing.attempts_in_total(retry) == attempts


def test_a_step_on_a_queue_has_the_attempts_of_the_classs_total_time() -> None:
    policy = timing.remote(StepRetry(total_seconds=20))["retry_policy"]

    assert policy is not None
    assert policy.maximum_attempts == 5


def test_time_in_the_queue_is_not_limited() -> None:
    assert "schedule_to_close_timeout" not in timing.remote(StepRetry(total_seconds=20))
    assert "schedule_to_start_timeout" not in timing.remote(StepRetry(total_seconds=20))


def test_half_an_hour_without_the_ledger_is_some_three_hundred_events_of_an_order() -> None:
    waited, rounds = timedelta(0), 0
    while waited < timedelta(minutes=30):
        rounds += 1
        waited += timing.ask_ledger_again(rounds)

    assert rounds <= 36
    assert rounds * EVENTS_PER_ROUND < 300
    assert max(timing.ask_ledger_again(number) for number in range(1, 100)) <= timing.LONGEST_LEDGER_PAUSE
