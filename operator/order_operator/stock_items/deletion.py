"""What is done for an item that is deleted: the workflow that keeps its article is told so, and the item forgotten."""

from temporalio.service import RPCError

from order_operator.settings import Settings
from order_operator.stock_items.intake import StockIntake
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import decode_stock
from order_operator.stock_items.tracking import TrackedItems
from order_operator.temporal.cancellation import request_cancel
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import find
from order_operator.work_queue import MAX_BACKOFF_SECONDS, TryLater


class Deletion:
    """Tells it."""

    def __init__(
        self, connection: TemporalConnection, settings: Settings, tracked: TrackedItems, intake: StockIntake
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._tracked = tracked
        self._intake = intake

    async def follow(self, item: StockItemResource) -> float | None:
        """The resource is gone. The seconds until the next look; None once nothing is left to do.

        Raises TryLater.
        """
        if self._connection.problem is not None:
            return MAX_BACKOFF_SECONDS
        try:
            return await self._tell(item)
        except RPCError as failed:
            raise TryLater(f"the workflow of a deleted StockItem was not told: {failed.message}") from failed

    async def _tell(self, item: StockItemResource) -> float | None:
        ids = item.workflow_ids(self._settings.cluster) if item.sku else ()
        rows = [await find(self._connection.client, identifier) for identifier in ids]
        found = [await decode_stock(self._connection.client, row) for row in rows if row is not None]
        for run in found:
            if run is not None and run.running and run.owner == item.uid:
                if not await request_cancel(self._connection.client, run):
                    return 1.0  # it has ended, or goes on under another run id: it is asked for again
                self._tracked.told(run.run_id)
        del self._tracked[item.uid]
        for run in found:
            if run is not None:
                self._intake.learn(run)  # nothing is kept of one that has ended
        return None
