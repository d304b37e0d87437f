"""Activities that go through a task queue, and may come to a worker that cannot read them yet.

A worker that lacks the key of a payload fails the activity before any of its code runs. Each such attempt counts for
Temporal, and a class may bound the attempts of a step. But a missing key proves nothing: somebody puts it back, or a
newer worker is rolled out. So the workflow waits by a durable timer and starts the activity again, without an end.
Undoing needs none of this: what cannot be undone is tried again in Manual Review anyway.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

from order_domain.snapshot import ErrorRecord
from order_workflows import timing
from order_workflows.contract import UNREADABLE_YET
from order_workflows.patches import WAITS_FOR_KEYS
from order_workflows.waiting import cancelled_meanwhile, in_this_history

A = TypeVar("A")
R = TypeVar("R")

Waits = Callable[[int, ErrorRecord, timedelta], None]
"""Told before each wait: attempts so far, what is missing, how long until the next attempt."""


def nobody_is_told(attempts: int, missing: ErrorRecord, pause: timedelta) -> None:
    """Of a workflow that shows no steps."""


async def carried_out(
    activity: Callable[[Any, A], Awaitable[R]],
    request: A,
    config: workflow.ActivityConfig,
    *,
    waits: Waits = nobody_is_told,
) -> R:
    """What `activity` answers. Raises the FailureError of its last attempt, unless that is for want of a key."""
    policy = config.get("retry_policy")
    in_round = (policy.maximum_attempts if policy is not None else 0) or 1
    rounds = 0
    while True:
        try:
            return await workflow.execute_activity_method(activity, request, **config)
        except FailureError as failure:
            missing = unreadable_yet(failure)
            if missing is None or not workflow.patched(WAITS_FOR_KEYS) or cancelled_meanwhile():
                raise
        rounds += 1
        pause = in_this_history(timing.wait_for_key(rounds), rounds)
        waits(rounds * in_round, missing, pause)
        await workflow.sleep(pause, summary="a worker lacks a key")


def unreadable_yet(failure: FailureError) -> ErrorRecord | None:
    """What a worker lacked to read its payloads or to write its answer; None for every other failure."""
    error: BaseException | None = failure
    while error is not None:
        if isinstance(error, ApplicationError) and error.type in UNREADABLE_YET:
            return ErrorRecord(type=error.type, message=error.message)
        error = error.__cause__
    return None
