"""Edited settings of an item, brought to the workflow that keeps its article by a signal, until the workflow shows
them."""

import time

from temporalio.service import RPCError

from order_codec.undecodable import Undecodable
from order_domain.stock_item import StockItemSpec, StockSettings
from order_operator.cluster.api import Conflict, KubernetesApi
from order_operator.cluster.api_names import STOCK_ITEMS
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.stock_items.intake import StockIntake
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import StockRun
from order_operator.stock_items.tracking import Tracked, TrackedItems
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import RPC_TIMEOUT
from order_operator.temporal.starting import key_missing
from order_operator.work_queue import MAX_BACKOFF_SECONDS
from order_workflows.contract import SIGNAL_CONFIGURE

ANSWER_GRACE_SECONDS = 2.0
"""Edited settings that are in force within this time are shown in one write, in force."""


class StockAmender:
    """Sends them."""

    def __init__(
        self, api: KubernetesApi, connection: TemporalConnection, tracked: TrackedItems, intake: StockIntake
    ) -> None:
        self._api = api
        self._connection = connection
        self._tracked = tracked
        self._intake = intake

    async def configure(self, tracked: Tracked, run: StockRun, spec: StockItemSpec) -> Problem | None:
        """Send edited settings to a run that has published other ones; again from time to time, until it has them.
        Newer ones are those of an item that was restored from a backup, unless the watch lags: the API server is
        asked. Raises Conflict, NotFound."""
        item, now = tracked.resource, time.monotonic()
        if run.snapshot is None or (
            tracked.configured == item.generation and now - tracked.configured_at < MAX_BACKOFF_SECONDS
        ):
            return None
        if self._connection.problem is not None:
            return self._connection.problem
        handle = self._connection.client.get_workflow_handle(run.workflow_id)
        settings = StockSettings(minimum=spec.minimum, target=spec.target, generation=item.generation)
        if run.snapshot.generation > item.generation:
            await self._is_set_back(item)
            settings = settings.model_copy(update={"instead_of": run.snapshot.generation})
        try:
            await handle.signal(SIGNAL_CONFIGURE, settings, rpc_timeout=RPC_TIMEOUT)
        except Undecodable as lacking:
            return key_missing(lacking)
        except RPCError as failed:
            if not is_no_such_run(failed):
                return self._connection.problem_of(failed)
            self._tracked.lost(run)
            return Problem(Reason.SUBMITTING, "")
        tracked.configured, tracked.configured_at = item.generation, now
        return None

    async def _is_set_back(self, item: StockItemResource) -> None:
        """The workflow has settings of a later version than `item`: etcd was restored, or this version is late, which
        the API server tells. Raises Conflict in the latter case, NotFound."""
        body = await self._api.get(STOCK_ITEMS, item.namespace, item.name)
        newest = StockItemResource.from_body(body)
        if (newest.uid, newest.generation) != (item.uid, item.generation):
            self._intake.put(body)
            raise Conflict("a newer version is there")
