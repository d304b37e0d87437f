"""Make sure that exactly one workflow keeps an item's article; safe to repeat at any time."""

from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError

from order_codec.undecodable import Undecodable
from order_domain.stock_item import StockItemSpec
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.stock_items.handover import Handover
from order_operator.stock_items.intake import StockIntake
from order_operator.stock_items.reflection import taken
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import MEMO_ITEM, decode_stock
from order_operator.stock_items.tracking import Tracked, TrackedItems
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import find
from order_operator.temporal.starting import Start, key_missing, start
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_workflows.contract import (
    MEMO_UID,
    STOCK_ITEM_WORKFLOW_TYPE,
    ResourceIdentity,
    StockItemInput,
    stock_workflow_id,
)


class Submission:
    """Starts the workflows of articles."""

    def __init__(
        self,
        connection: TemporalConnection,
        settings: Settings,
        tracked: TrackedItems,
        intake: StockIntake,
        handover: Handover,
        queue_owner: TaskQueueOwner,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._tracked = tracked
        self._intake = intake
        self._handover = handover
        self._queue_owner = queue_owner

    async def begin(self, tracked: Tracked, spec: StockItemSpec) -> Problem | None:
        """Where the article's workflow is not seen to run."""
        item = tracked.resource
        elsewhere = item.elsewhere(self._connection.client.namespace)
        return elsewhere or tracked.ended_just_now(self._tracked.own_run(item.uid)) or await self._start(item, spec)

    async def _start(self, item: StockItemResource, spec: StockItemSpec) -> Problem | None:
        """Sees to it that the article's workflow runs, this item's or another's; None if it is this item's."""
        if self._connection.problem is not None:
            return self._connection.problem
        client = self._connection.client
        identifier = stock_workflow_id(self._settings.cluster, spec.sku)
        try:
            if taken_queue := await self._queue_owner.problem():
                return taken_queue
            await start(
                client,
                Start(
                    workflow_type=STOCK_ITEM_WORKFLOW_TYPE,
                    workflow_id=identifier,
                    argument=self._input(item, spec),
                    task_queue=self._settings.task_queue,
                    cluster=self._settings.cluster,
                    memo={MEMO_UID: item.uid, MEMO_ITEM: item.reference},
                    namespace=item.namespace,
                    summary=f"StockItem {item.reference}",
                    after_an_end=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                ),
            )
            # Whose run it is, this one or an older, only its memo tells.
            row = await find(client, identifier)
        except Undecodable as lacking:
            return key_missing(lacking)
        except RPCError as failed:
            return self._connection.problem_of(failed)
        run = await decode_stock(client, row) if row is not None else None
        if run is None or not run.running:
            return Problem(Reason.SUBMITTING, "")  # it ended in between: the next look starts another
        self._intake.learn(run)
        if run.lacks_key:
            why = f"whose workflow keeps this article cannot be read: {run.unreadable_because}"
            return Problem(Reason.ENCRYPTION_KEY_MISSING, why, stalled=True)
        if run.owner == item.uid:
            return None
        if run.item == item.reference and run.cluster == self._settings.cluster:
            return await self._handover.of_former_item(item, run)
        return taken(spec.sku, f"the StockItem {run.item}" if run.item else "a workflow that names no StockItem")

    def _input(self, item: StockItemResource, spec: StockItemSpec) -> StockItemInput:
        cluster = self._settings.cluster
        identity = ResourceIdentity(cluster=cluster, namespace=item.namespace, name=item.name, uid=item.uid)
        begun = StockItemInput.of(identity, spec, item.generation)
        run, former = self._tracked.own_run(item.uid), self._tracked.former_run(item.uid)
        if run is not None and run.snapshot is not None and run.snapshot.kept_by is None:
            # The ledger may have been restored since it was told this.
            begun = begun.model_copy(update={"on_order": run.snapshot.supplier_order})
        if former is None:
            return begun
        return begun.model_copy(update={"follows": former.workflow_id, "seq": max(0, former.seq)})
