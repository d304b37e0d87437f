"""A worker stops in bounded time."""

import asyncio
from datetime import timedelta
from typing import cast

import pytest
from temporalio.worker import Worker

from order_worker import shutdown

MOMENT = timedelta(seconds=0.01)
LONG = timedelta(seconds=3600)


class SdkWorker:
    """Ends when told to, unless it hangs as the SDK's sometimes does."""

    def __init__(self, *, hangs: bool = False, breaks: bool = False) -> None:
        self._hangs = hangs
        self._breaks = breaks
        self._told = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        await self._told.wait()
        if self._hangs:
            await asyncio.Event().wait()
        self._ended.set()
        if self._breaks:
            raise RuntimeError("poll failed")

    async def shutdown(self) -> None:
        self._told.set()
        await self._ended.wait()


async def stopped(worker: SdkWorker, slack: timedelta) -> asyncio.Task[None]:
    running = asyncio.create_task(worker.run())
    await shutdown.stop(cast("Worker", worker), running, grace=MOMENT, slack=slack)
    await asyncio.wait({running})
    return running


async def test_a_worker_that_ends_is_waited_for() -> None:
    running = await stopped(SdkWorker(), LONG)

    assert not running.cancelled()


async def test_a_worker_that_hangs_is_left(caplog: pytest.LogCaptureFixture) -> None:
    running = await stopped(SdkWorker(hangs=True), MOMENT)

    assert running.cancelled()
    assert "did not stop within" in caplog.text


async def test_what_a_worker_died_of_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="poll failed"):
        await stopped(SdkWorker(breaks=True), LONG)
