"""When a task queue counts as one without a worker."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.service import RPCError, RPCStatusCode

from order_operator.temporal import task_queues as module
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.task_queues import TaskQueueWatch


class Server:
    """Temporal with one queue, `orders`."""

    def __init__(self) -> None:
        self.client = self.workflow_service = self
        self.namespace, self.problem = "default", None
        self.waiting = timedelta(0)
        """How long the oldest task has waited."""
        self.polls: int | None = None
        """When a worker asked last, in seconds of the server's clock; None if the server knows of no worker."""
        self.failure: RPCError | None = None
        self.looks = 0

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, **_: Any) -> DescribeTaskQueueResponse:
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        answer = DescribeTaskQueueResponse()
        if request.task_queue.name == "orders":
            answer.stats.approximate_backlog_age.FromTimedelta(self.waiting)
            if self.polls is not None:
                answer.pollers.add().last_access_time.seconds = self.polls
        return answer

    def problem_of(self, _: RPCError) -> None:
        self.failure = None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.1)


class Watched:
    """The watch, running; `changes` are the sets that it told of."""

    def __init__(self, server: Server, *queues: str) -> None:
        self.server, self.changes = server, list[frozenset[str]]()
        connection = cast("TemporalConnection", server)
        self.watch = TaskQueueWatch(connection, lambda: frozenset(queues or ("orders",)), self._changed)

    def _changed(self) -> None:
        self.changes.append(self.watch.without_worker)

    @contextlib.asynccontextmanager
    async def running(self) -> Any:
        task = asyncio.create_task(self.watch.run())
        try:
            async with asyncio.timeout(5):
                yield
        finally:
            task.cancel()

    async def until(self, lacking: set[str]) -> None:
        while self.watch.without_worker != lacking:  # noqa: ASYNC110 - it is looked at, not told
            await asyncio.sleep(0.005)

    async def looks(self, count: int) -> None:
        count += self.server.looks
        while self.server.looks < count:
            if self.server.polls is not None and self.server.polls >= 0:
                self.server.polls += 1
            await asyncio.sleep(0.005)


async def test_a_queue_whose_tasks_wait_and_for_which_nobody_asks_is_without_a_worker() -> None:
    watched = Watched(Server(), "orders", "shipping")
    watched.server.waiting = timedelta(seconds=21)

    async with watched.running():
        await watched.until({"orders"})

    assert watched.changes == [frozenset({"orders"})]


async def test_a_queue_whose_worker_has_not_asked_for_a_while_is_without_one_whatever_the_servers_clock() -> None:
    watched = Watched(Server())
    watched.server.waiting, watched.server.polls = timedelta(seconds=21), -1_000_000

    async with watched.running():
        await watched.until({"orders"})


async def test_a_queue_that_a_worker_asks_is_not_without_one_however_long_its_tasks_wait() -> None:
    watched = Watched(Server())
    watched.server.waiting, watched.server.polls = timedelta(hours=1), 1

    async with watched.running():
        await watched.looks(60)

    assert watched.changes == []


async def test_a_queue_without_tasks_needs_no_worker() -> None:
    watched = Watched(Server())

    async with watched.running():
        await watched.looks(60)
        await asyncio.sleep(2 * module.SILENT_SECONDS)
        await watched.looks(10)

    assert watched.changes == []


async def test_a_worker_that_comes_is_told() -> None:
    watched = Watched(Server())
    watched.server.waiting = timedelta(seconds=21)

    async with watched.running():
        await watched.until({"orders"})
        watched.server.polls = 1
        await watched.until(set())

    assert watched.changes == [frozenset({"orders"}), frozenset()]


async def test_a_look_that_fails_says_nothing_of_workers_and_is_made_again() -> None:
    watched = Watched(Server())
    watched.server.failure = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    async with watched.running():
        await watched.looks(5)

    assert watched.changes == []
