"""Waiting in code that a cancellation of the workflow does not stop."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow


async def until(holds: Callable[[], bool], timeout: timedelta | None = None, summary: str | None = None) -> None:
    """Like `workflow.wait_condition`, but ended by a cancellation only if that is of this very task. With logic flag 2
    of the SDK `wait_condition` raises once, wherever it waits, when the workflow is cancelled. Raises TimeoutError."""
    while True:
        try:
            return await workflow.wait_condition(holds, timeout=timeout, timeout_summary=summary)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
