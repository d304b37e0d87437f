"""Workflows that kept an item's article before its own does, and are to let it go: that of the item that had its name
before, that of an earlier release, and that which it had under another identity of the installation."""

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from order_operator.cluster.api import Conflict, KubernetesApi
from order_operator.cluster.api_names import STOCK_ITEMS
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.stock_items.reflection import former_keeps
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import StockRun, decode_stock
from order_operator.stock_items.tracking import TrackedItems
from order_operator.temporal.cancellation import request_cancel
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import RPC_TIMEOUT, find
from order_workflows.contract import SIGNAL_STOCK_CHANGED


class Handover:
    """Asks them to."""

    def __init__(self, api: KubernetesApi, connection: TemporalConnection, tracked: TrackedItems) -> None:
        self._api = api
        self._connection = connection
        self._tracked = tracked

    async def of_former_item(self, item: StockItemResource, run: StockRun) -> Problem:
        """The workflow is of an item that had this name before: it was deleted and created again, or restored from a
        backup. That the name is this item's, which the API server is asked, says that the former is gone. Raises
        NotFound."""
        if not self._tracked.has_heard(run):
            body = await self._api.get(STOCK_ITEMS, item.namespace, item.name)
            if body["metadata"]["uid"] != item.uid:
                raise Conflict("the name is another item's now")
            try:
                if await request_cancel(self._connection.client, run):
                    self._tracked.told(run.run_id)
            except RPCError as failed:
                return self._connection.problem_of(failed)
        return former_keeps(item.sku)

    async def of_former_workflows(self, item: StockItemResource, run: StockRun | None) -> Problem | None:
        """The item's other workflows, beside the `run` that keeps its article, or is to."""
        return await self._of_earlier_release(item.uid) or await self._of_other_identity(item, run)

    async def _of_earlier_release(self, uid: str) -> Problem | None:
        """Let the workflow of an earlier release look at the ledger: it ends once another keeps the article."""
        former, present = self._tracked.former_run(uid), self._tracked.own_run(uid)
        if former is None or present is None or present.snapshot is None or present.former:
            return None
        handle = self._connection.client.get_workflow_handle(former.workflow_id)
        try:
            await handle.signal(SIGNAL_STOCK_CHANGED, rpc_timeout=RPC_TIMEOUT)
        except RPCError as failed:
            if not is_no_such_run(failed):
                return self._connection.problem_of(failed)
            self._tracked.lost(former)
        return None

    async def _of_other_identity(self, item: StockItemResource, run: StockRun | None) -> Problem | None:
        """The workflow that keeps the article in place of the item's own may have been started for this very item, when
        this installation had another identity: it is ended, and the item's own told to look at the ledger. None if it
        is another's."""
        keeper = run.snapshot.kept_by if run is not None and run.snapshot is not None else None
        if run is None or keeper is None or self._connection.problem is not None:
            return None
        client = self._connection.client
        try:
            row = await find(client, keeper)
            former = await decode_stock(client, row) if row is not None else None
            if former is None or former.owner != item.uid:
                return None
            if former.running:
                if not self._tracked.has_heard(former) and await request_cancel(client, former):
                    self._tracked.told(former.run_id)
            elif former.status is not WorkflowExecutionStatus.COMPLETED:
                return None  # it stopped before it let the article go, which takes a person
            else:
                await client.get_workflow_handle(run.workflow_id).signal(SIGNAL_STOCK_CHANGED, rpc_timeout=RPC_TIMEOUT)
        except RPCError as failed:
            return self._connection.problem_of(failed)
        why = f"workflow {keeper}, which this item had under another identity of the installation, lets the article go"
        return Problem(Reason.SUBMITTING, why)
