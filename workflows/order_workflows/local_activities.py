"""Local activities that may take long: a few quick attempts inside the workflow task, then a durable timer.

While a local activity is tried, its workflow task is held and no message is heard. So each round has few attempts and a
few seconds; between two rounds the workflow waits by a timer of Temporal, hears messages, and shows what fails.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from order_domain.retry import StepRetry
from order_domain.snapshot import ErrorRecord
from order_workflows import timing
from order_workflows.activities.effect import Outcome
from order_workflows.activity_failures import attempts_of, reason_of
from order_workflows.waiting import cancelled_meanwhile, in_this_history

A = TypeVar("A")
R = TypeVar("R", bound=Outcome)

ATTEMPTS_BEFORE: ContextVar[int] = ContextVar("attempts_before", default=0)
"""Attempts in earlier rounds of the local activity that is started next: Temporal counts each round from 1."""

Failed = Callable[[int, ErrorRecord, timedelta], None]
"""Told after each round that failed: attempts so far, the last error, how long until the next attempt."""


async def as_class_says(
    activity: Callable[[Any, A], Awaitable[R]], request: A, retry: StepRetry, *, failed: Failed
) -> R:
    """Try `activity` within the limits of `retry`. Raises the last FailureError when they are used up, or a permanent
    one at once."""
    limit = None if retry.total_seconds is None else workflow.now() + timedelta(seconds=retry.total_seconds)
    attempts = rounds = 0
    while True:
        in_round = timing.attempts_in_round(retry, attempts)
        try:
            return await _round(activity, request, timing.local(retry, in_round), attempts)
        except FailureError as failure:
            # A time-out does not tell its attempt; a round without an answer has used all of its attempts.
            attempts += attempts_of(failure) or in_round
            pause = timing.between_attempts(retry, attempts)
            used_up = retry.max_attempts and attempts >= retry.max_attempts
            too_late = limit is not None and workflow.now() + pause >= limit
            if is_permanent(failure) or used_up or too_late or cancelled_meanwhile():
                raise
            rounds += 1
            longer = in_this_history(pause, rounds)
            pause = longer if limit is None else min(longer, limit - workflow.now())
            failed(attempts, reason_of(failure), pause)
        await workflow.sleep(pause, summary="next attempt")


async def until_done(activity: Callable[[Any, A], Awaitable[R]], request: A, *, failed: Failed) -> R:
    """Try `activity`, bookkeeping that must happen, until the ledger answers. Raises a permanent FailureError."""
    attempts = rounds = 0
    while True:
        try:
            return await _round(activity, request, timing.LEDGER, attempts)
        except FailureError as failure:
            if is_permanent(failure):
                raise
            attempts += attempts_of(failure) or timing.LEDGER_ROUND_ATTEMPTS
            rounds += 1
            pause = in_this_history(timing.ask_ledger_again(rounds), rounds)
            failed(attempts, reason_of(failure), pause)
        await workflow.sleep(pause, summary="the ledger does not answer")


async def _round(
    activity: Callable[[Any, A], Awaitable[R]], request: A, config: workflow.LocalActivityConfig, attempts: int
) -> R:
    ATTEMPTS_BEFORE.set(attempts)
    answer = await workflow.execute_local_activity_method(activity, request, **config)
    return answer.model_copy(update={"attempts": attempts + answer.attempts}) if attempts else answer


def is_permanent(failure: FailureError) -> bool:
    """Whether another attempt would only give the same answer, or the workflow itself gave the activity up."""
    if is_cancelled_exception(failure):
        return True
    error: BaseException | None = failure
    while error is not None:
        if isinstance(error, ApplicationError):
            return error.non_retryable
        error = error.__cause__
    return False
