"""Whose workers ask for the tasks of our task queue. They carry out whatever waits there, by the ledger and the payment
provider that they have: orders of a second cluster that has kept the chart's defaults would be charged for real."""

import time

from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest

from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import RPC_TIMEOUT, cluster_of
from order_workflows.contract import ORDER_CLUSTER

EARLIER_IDENTITY = "default"
"""Of every installation of a release before identities were the cluster's own. It may be this one."""

AGAIN_SECONDS = 10.0
"""For so long one answer counts for all that must not start."""


class TaskQueueOwner:
    """An installation may start workflows on a task queue on which it has some, or nobody else has."""

    def __init__(self, connection: TemporalConnection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._ours = settings.share_task_queue
        self._refusal: Problem | None = None
        self._refused_at = 0.0
        """Monotonic."""

    async def problem(self) -> Problem | None:
        """Why nothing may be started there; None if it may. Asks until it may, and never again. Raises RPCError."""
        if self._ours:
            return None
        if self._refusal is None or time.monotonic() - self._refused_at >= AGAIN_SECONDS:
            other = None if await self._has_runs_of_ours() else await self._another()
            self._ours = other is None
            self._refusal = None if other is None else self._taken_by(other)
            self._refused_at = time.monotonic()
        return self._refusal

    def _taken_by(self, other: str) -> Problem:
        queue, namespace = self._settings.task_queue, self._connection.client.namespace
        why = (
            f"installation {other} has workflows on the task queue {queue} of Temporal's namespace {namespace}, and "
            "this one has none: its workers would carry out the orders of both. Give this installation a task queue of "
            "its own (values operator.taskQueue and workers.orders.taskQueue); or set operator.shareTaskQueue if both "
            "have one ledger and one payment provider, or if that installation is gone"
        )
        return Problem(Reason.TASK_QUEUE_TAKEN, why, stalled=True)

    async def _has_runs_of_ours(self) -> bool:
        client = self._connection.client
        query = f"{self._on_queue()} AND {ORDER_CLUSTER.name} = '{self._settings.cluster}'"
        request = CountWorkflowExecutionsRequest(namespace=client.namespace, query=query)
        return (await client.workflow_service.count_workflow_executions(request, timeout=RPC_TIMEOUT)).count > 0

    async def _another(self) -> str | None:
        client = self._connection.client
        others = " AND ".join(
            f"{ORDER_CLUSTER.name} != '{name}'" for name in (self._settings.cluster, EARLIER_IDENTITY)
        )
        query = f"{self._on_queue()} AND {ORDER_CLUSTER.name} IS NOT NULL AND {others}"
        request = ListWorkflowExecutionsRequest(namespace=client.namespace, page_size=1, query=query)
        found = await client.workflow_service.list_workflow_executions(request, timeout=RPC_TIMEOUT)
        return next((cluster_of(row) for row in found.executions), None)

    def _on_queue(self) -> str:
        return f"TaskQueue = '{self._settings.task_queue}'"
