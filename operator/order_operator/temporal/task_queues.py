"""Whether anybody takes up the tasks of the queues that open workflows use.

A worker asks for tasks by a request that stays open for up to a minute. Temporal tells when that was last; the time is
only compared with what it told before, since its clock may be minutes away from ours. A worker that is not there is
noticed only once something waits: an idle queue without workers harms nobody.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.service import RPCError

from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import RPC_TIMEOUT

LOOK_SECONDS = 15.0
AGAIN_SECONDS = 2.0
"""The same while a queue is without a worker: an order says so only briefly once there is one again."""
BACKLOG_AGE = timedelta(seconds=20)
"""Tasks that have waited for less may be taken up by a worker that is busy."""
SILENT_SECONDS = 75.0
"""A worker's request stays open for a minute."""
_TYPES = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)

logger = logging.getLogger(__name__)


async def has_workers(
    client: Client, queue: str, kind: TaskQueueType.ValueType = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
) -> bool:
    """Whether a worker asked for tasks of this kind within the last minutes, as long as the server remembers. Raises
    RPCError."""
    return bool((await _describe(client, queue, kind)).pollers)


async def _describe(
    client: Client, queue: str, kind: TaskQueueType.ValueType, *, report_stats: bool = False
) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=kind,
        report_stats=report_stats,
    )
    return await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)


class TaskQueueWatch:
    """Keeps the names of the queues without a worker."""

    def __init__(
        self, connection: TemporalConnection, in_use: Callable[[], frozenset[str]], changed: Callable[[], None]
    ) -> None:
        """`in_use` names the queues to look at, `changed` is told when another set of them is without a worker."""
        self.without_worker: frozenset[str] = frozenset()
        self._connection = connection
        self._in_use = in_use
        self._changed = changed
        self._heard: dict[tuple[str, int], tuple[int, float]] = {}
        """By queue and type: when a worker asked last, by the server's clock, and since when, by ours, that is so."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS if self.without_worker else LOOK_SECONDS)
            if self._connection.problem is None:
                try:
                    await self._look()
                except RPCError as failed:
                    self._connection.problem_of(failed)

    async def _look(self) -> None:
        in_use = sorted(self._in_use())
        found = frozenset([queue for queue in in_use if await self._is_without_worker(queue)])
        self._heard = {key: heard for key, heard in self._heard.items() if key[0] in in_use}
        if found == self.without_worker:
            return
        for queue in found - self.without_worker:
            logger.warning("no worker asks for the tasks of a task queue", extra={"task_queue": queue})
        for queue in self.without_worker - found:
            logger.info("a worker asks for the tasks of a task queue again", extra={"task_queue": queue})
        self.without_worker = found
        self._changed()

    async def _is_without_worker(self, queue: str) -> bool:
        lacking = False
        for kind in _TYPES:
            answer = await _describe(self._connection.client, queue, kind, report_stats=True)
            lacking |= self._nobody_asks((queue, kind), answer, time.monotonic())
        return lacking

    def _nobody_asks(self, key: tuple[str, int], answer: DescribeTaskQueueResponse, now: float) -> bool:
        """Whether tasks wait, and no worker has asked for any of late."""
        last = max((poller.last_access_time.ToNanoseconds() for poller in answer.pollers), default=0)
        if self._heard.get(key, (-1, now))[0] != last:
            self._heard[key] = (last, now)
        waits = answer.stats.approximate_backlog_age.ToTimedelta() >= BACKLOG_AGE
        return waits and now - self._heard[key][1] >= SILENT_SECONDS
