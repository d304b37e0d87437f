"""Every timeout and retry of the workflow that the order's class does not decide."""

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig, LocalActivityConfig

from order_domain.retry import StepRetry

HOLDS_THE_TASK = timedelta(milliseconds=500)
"""A local activity that waits longer for its next attempt lets go of the workflow task: messages are heard meanwhile,
and the step is shown, which otherwise happened only with the task's heartbeat, every eight seconds."""

LEDGER = LocalActivityConfig(
    start_to_close_timeout=timedelta(seconds=10),
    local_retry_threshold=HOLDS_THE_TASK,
    retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
)
"""Bookkeeping that must happen: tried until the ledger answers. Ten seconds is twice SQLite's busy timeout."""

UNDO = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30), maximum_attempts=20),
)
"""Undoing something at an outside company: about eight minutes of attempts, then a person has to look."""


FIRST_LOOK = timedelta(seconds=30)
LONGEST_LOOK = timedelta(hours=6)
"""A year of waiting for stock is then 1,500 attempts, a fifth of the 51,200 events that a history may have."""


def look_again(attempts: int) -> timedelta:
    """How long to wait for news of stock before asking unasked, after so many attempts: doubled each time."""
    return min(FIRST_LOOK * (1 << min(attempts - 1, 16)), LONGEST_LOOK)


def remote(retry: StepRetry) -> ActivityConfig:
    """For a step whose activity goes through a task queue."""
    return ActivityConfig(
        start_to_close_timeout=timedelta(seconds=retry.start_to_close_seconds),
        schedule_to_close_timeout=_total(retry),
        retry_policy=_policy(retry),
        cancellation_type=_LEARN_THE_OUTCOME,
    )


def local(retry: StepRetry) -> LocalActivityConfig:
    """For a step whose activity runs inside the workflow task."""
    return LocalActivityConfig(
        start_to_close_timeout=timedelta(seconds=retry.start_to_close_seconds),
        local_retry_threshold=HOLDS_THE_TASK,
        schedule_to_close_timeout=_total(retry),
        retry_policy=_policy(retry),
        cancellation_type=_LEARN_THE_OUTCOME,
    )


# A cancelled charge may still go through: learn how it ended before undoing it.
_LEARN_THE_OUTCOME = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


def best_effort(retry: StepRetry) -> LocalActivityConfig:
    """Like `local`, but never without end: what is not worth holding up an order for is given up after
    `BEST_EFFORT_ATTEMPTS` where the class sets no limit."""
    return local(retry.model_copy(update={"max_attempts": retry.max_attempts or BEST_EFFORT_ATTEMPTS}))


BEST_EFFORT_ATTEMPTS = 5


def _total(retry: StepRetry) -> timedelta | None:
    return None if retry.total_seconds is None else timedelta(seconds=retry.total_seconds)


def _policy(retry: StepRetry) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(seconds=retry.initial_seconds),
        backoff_coefficient=retry.coefficient,
        maximum_interval=timedelta(seconds=max(retry.initial_seconds, retry.max_interval_seconds)),
        maximum_attempts=retry.max_attempts,
    )
