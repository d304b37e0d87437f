"""Waits and how long they are, and cancellations: those that stop no wait, and those that an activity took from one."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

from order_workflows import timing
from order_workflows.patches import HEARS_CANCELLATIONS


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


def in_this_history(pause: timedelta, rounds: int) -> timedelta:
    """`pause` after so many rounds, or longer where the run's history is long."""
    return timing.in_history(pause, rounds, workflow.info().get_current_history_length())


def stop_if_cancelled_meanwhile() -> None:
    """To be asked before a wait that a cancellation has to end. Raises CancelledError."""
    if cancelled_meanwhile():
        raise asyncio.CancelledError


def cancelled_meanwhile() -> bool:
    """Whether this task was cancelled while it waited for the outcome of an activity. A task is told so once, and an
    activity whose outcome has to be learnt takes that from it: no wait that follows would end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0 and workflow.patched(HEARS_CANCELLATIONS)
