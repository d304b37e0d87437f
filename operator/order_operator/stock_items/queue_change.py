"""Articles that are kept on another task queue than the present one, since the setting was changed."""

import logging
import time
from dataclasses import replace

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.stock_items.intake import StockIntake
from order_operator.stock_items.run import StockRun
from order_operator.stock_items.tracking import Tracked, TrackedItems
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import RPC_TIMEOUT
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_operator.temporal.task_queues import has_workers

WORKERS_SECONDS = 60.0
"""How often another task queue, on which articles are kept, is asked for its workers."""

logger = logging.getLogger(__name__)


class QueueChange:
    """Ends their workflows where no worker is left."""

    def __init__(
        self,
        connection: TemporalConnection,
        settings: Settings,
        tracked: TrackedItems,
        intake: StockIntake,
        queue_owner: TaskQueueOwner,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._tracked = tracked
        self._intake = intake
        self._queue_owner = queue_owner
        self._workers_seen: dict[str, float] = {}
        """By task queue: monotonic time at which it had workers, or ours had none."""

    def concerns(self, run: StockRun) -> bool:
        """Whether this installation began the run on another task queue than the present one."""
        ours = run.running and not run.former and not run.unreadable and run.cluster == self._settings.cluster
        return ours and run.task_queue != self._settings.task_queue

    async def follow(self, tracked: Tracked) -> Problem | None:
        """Where no worker asks for the tasks of the run's queue any more, and some do on ours, the run is ended: the
        next one goes on there, from what the ledger has. While there are workers on its own it is kept by them."""
        run, now = self._tracked.own_run(tracked.resource.uid), time.monotonic()
        if run is None or not self.concerns(run) or self._connection.problem is not None:
            return None
        if now - self._workers_seen.get(run.task_queue, float("-inf")) < WORKERS_SECONDS:
            return None
        client, ours = self._connection.client, self._settings.task_queue
        try:
            if await has_workers(client, run.task_queue) or not await has_workers(client, ours):
                self._workers_seen[run.task_queue] = now
                return None
            taken_here = await self._queue_owner.problem()
            if taken_here is not None:
                return taken_here
            handle = client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
            await handle.terminate(f"goes on on the task queue {ours}", rpc_timeout=RPC_TIMEOUT)
        except RPCError as failed:
            if not is_no_such_run(failed):
                return self._connection.problem_of(failed)
            self._tracked.lost(run)
            return Problem(Reason.SUBMITTING, "the run on another task queue has ended")
        about = {"workflow_id": run.workflow_id, "task_queue": run.task_queue}
        logger.warning("no worker asks for the task queue of an article: it is kept on another", extra=about)
        ended = replace(run, status=WorkflowExecutionStatus.TERMINATED)
        self._intake.learn(ended)
        return tracked.ended_just_now(ended)
