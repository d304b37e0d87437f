"""Reading what an activity failed with. A local activity's error arrives bare, a remote one's as the cause of an
ActivityError, and that in turn as the cause of the child workflow's or Nexus operation's that it made fail."""

import asyncio
from collections.abc import Awaitable, Iterable

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    NexusOperationError,
)

from order_domain.snapshot import ErrorRecord, shortened

MAX_TYPE = 64
"""Characters of an error's type: as many as the ledger keeps."""


def reason_of(failure: FailureError) -> ErrorRecord:
    """The error by its name in order_domain.errors, or by its kind where it is none of ours, such as a time-out."""
    error = _root(failure)
    if isinstance(error, ApplicationError):
        return ErrorRecord(type=shortened(error.type or "ActivityFailed", MAX_TYPE), message=error.message)
    return ErrorRecord(type=type(error).__name__, message=str(error))


def attempts_of(failure: FailureError) -> int:
    """Which attempt failed last; 0 where the error does not tell."""
    error = _root(failure)
    details = error.details if isinstance(error, ApplicationError) else ()
    first = details[0] if details else None
    attempts = first.get("attempts") if isinstance(first, dict) else None
    return attempts if isinstance(attempts, int) else 0


def _root(failure: FailureError) -> BaseException:
    error: BaseException = failure
    while isinstance(error, ActivityError | ChildWorkflowError | NexusOperationError) and error.cause is not None:
        error = error.cause
    return error


async def failures_of(parts: Iterable[Awaitable[None]]) -> list[BaseException | None]:
    """What each raised, when every one has ended."""
    return await asyncio.gather(*parts, return_exceptions=True)


def raise_first(failures: list[BaseException | None]) -> None:
    """Raises the first failure, if there is any."""
    for failure in failures:
        if failure is not None:
            raise failure
