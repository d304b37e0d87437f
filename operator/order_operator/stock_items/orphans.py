"""Workflows without a StockItem. None is cancelled because its item was not seen once.

A StockItem carries no finalizer: one that was deleted while no operator watched leaves its workflow behind, at any age.
It is cancelled when two looks, minutes apart, find no item, a few a minute, and none while many workflows look so at
once, as with workflows without an Order.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from temporalio.service import RPCError

from order_operator import metrics
from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.cluster.api_names import STOCK_ITEMS
from order_operator.settings import Settings
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import StockRun
from order_operator.temporal.cancellation import (
    MAX_PER_LOOK,
    TWO_LOOKS_SECONDS,
    request_cancel,
    too_many,
)
from order_operator.temporal.connection import TemporalConnection

logger = logging.getLogger(__name__)


class StockOrphans:
    """Since when each run has been seen without its item, and what is done about it."""

    def __init__(
        self,
        connection: TemporalConnection,
        api: KubernetesApi,
        settings: Settings,
        *,
        item_found: Callable[[Mapping[str, Any]], None],
        told: Callable[[str], None],
    ) -> None:
        """`told` is called with the id of each run that was cancelled."""
        self._connection = connection
        self._api = api
        self._settings = settings
        self._item_found = item_found
        self._told = told
        self._first: dict[str, float] = {}
        """By run id: monotonic time of the first look."""

    async def look(self, orphans: Sequence[StockRun], open_runs: int) -> None:
        """One look at the runs that have no item, of all `open_runs`."""
        if self._connection.problem is not None:
            return
        now = time.monotonic()
        self._first = {run.run_id: self._first.get(run.run_id, now) for run in orphans}
        if not self._settings.cancel_orphans and too_many(len(orphans), open_runs):
            logger.error(
                "many workflows have no StockItem, and none is cancelled. Is this the right cluster, the right "
                "namespace? Then set ORDER_OPERATOR_CANCEL_ORPHANS=true",
                extra={"workflows": len(orphans), "open_runs": open_runs},
            )
            return
        due = [run for run in orphans if now - self._first[run.run_id] >= TWO_LOOKS_SECONDS]
        for run in due[:MAX_PER_LOOK]:
            await self._cancel(run)

    async def _cancel(self, run: StockRun) -> None:
        """The API server is asked once more."""
        namespace, _, name = run.item.partition("/")
        if name:
            try:
                body = await self._api.get(STOCK_ITEMS, namespace, name)
                item = StockItemResource.from_body(body)
                if (item.uid, item.sku) == (run.owner, run.sku):
                    self._item_found(body)
                    return
            except NotFound:
                pass
        try:
            if not await request_cancel(self._connection.client, run):
                return  # it has ended, or goes on under another run id, which the next look tells
        except RPCError as failed:
            logger.warning("orphan not cancelled", extra={"workflow_id": run.workflow_id, "error": failed.message})
            return
        self._told(run.run_id)
        metrics.ORPHANS_CANCELLED.inc()
        logger.warning("cancelled a workflow without a StockItem", extra={"workflow_id": run.workflow_id})
