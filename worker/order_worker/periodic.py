"""What a worker does again and again for as long as it runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from temporalio.plugin import SimplePlugin


def periodic(name: str, look: Callable[[], Awaitable[None]], seconds: float) -> SimplePlugin:
    """Has the worker that takes this plugin call `look` at its start, and then `seconds` after each end of it."""

    async def repeat() -> None:
        while True:
            await look()
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def repeating() -> AsyncIterator[None]:
        task = asyncio.create_task(repeat())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return SimplePlugin(name, run_context=repeating)
