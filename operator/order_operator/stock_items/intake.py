"""What watch, list and scanner tell of stock items: it is remembered, and says which items are to be looked at."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from order_operator.background import Background
from order_operator.cluster.api import KubernetesApi, Listed
from order_operator.cluster.api_names import STOCK_ITEMS
from order_operator.cluster.inventory import not_brought
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.stock_items.orphans import StockOrphans
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import StockRun, decode_stock
from order_operator.stock_items.tracking import TrackedItems
from order_operator.temporal.cancellation import too_many
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import find
from order_operator.temporal.scanner import Scanner, Subscriber
from order_workflows.contract import STOCK_ITEM_WORKFLOW_TYPE, parse_stock_workflow_id

logger = logging.getLogger(__name__)


class StockIntake:
    """Keeps `TrackedItems` up to date."""

    plural = STOCK_ITEMS

    def __init__(
        self,
        api: KubernetesApi,
        connection: TemporalConnection,
        scanner: Scanner,
        settings: Settings,
        tracked: TrackedItems,
        *,
        look: Callable[[str], None],
    ) -> None:
        """`look` is called with the uid of an item when there is news of it."""
        self._connection = connection
        self._scanner = scanner
        self._settings = settings
        self._tracked = tracked
        self._look = look
        self._doubted: set[str] = set()
        """Ids of workflows that visibility shows in an earlier state than is known: Temporal is asked which is true."""
        self._background = Background()
        self._orphans = StockOrphans(connection, api, settings, item_found=self.put, told=tracked.told)
        scanner.subscribers[STOCK_ITEM_WORKFLOW_TYPE] = Subscriber(
            decode=self._decode,
            observed=self._observed,
            live=tracked.any_awaits_worker,
            resynced=self._resynced,
        )
        connection.on_recovery(self._look_at_unanswered)

    def put(self, body: Mapping[str, Any]) -> None:
        """The watch delivered a version of a StockItem."""
        item = StockItemResource.from_body(body)
        if self._tracked.put(item):
            self._look(item.uid)

    def remove(self, body: Mapping[str, Any]) -> None:
        """The watch says that a StockItem is gone."""
        self._gone(body["metadata"]["uid"])

    def compare(
        self, listed: Mapping[str, Listed], version: int, covers: Callable[[str], bool] = lambda _: True
    ) -> list[Listed]:
        """Compare with a list of all items of the namespaces that it `covers`, made independently of the watch, as of
        resourceVersion `version`: items that are gone and workflows without an item are dealt with; what the watch has
        not brought yet is returned."""
        open_runs = [run for run in self._tracked.runs.values() if run.running]
        there = {uid: tracked.resource for uid, tracked in self._tracked.items() if not tracked.gone}
        missing = [
            uid
            for uid, item in there.items()
            if uid not in listed and covers(item.namespace) and item.version <= version
        ]
        self._missing(missing, len(open_runs))
        orphans = [run for run in open_runs if self._is_orphan(run, listed, covers)]
        self._background.spawn(self._look_after(orphans, len(open_runs)))
        brought = {uid: each.resource for uid in listed if (each := self._tracked.get(uid)) is not None}
        return not_brought(listed, version, brought.get)

    def _is_orphan(self, run: StockRun, listed: Mapping[str, Listed], covers: Callable[[str], bool]) -> bool:
        """Whether the item of an open run is not there, and nobody has told it that."""
        namespace = run.item.partition("/")[0]
        if not (self._settings.watches(namespace) and covers(namespace)) or self._tracked.has_heard(run):
            return False
        if run.unreadable or run.cluster != self._settings.cluster:
            return False  # nothing says that it is ours
        owner = self._tracked.owner_of(run)
        return run.owner not in listed or (owner is not None and not self._tracked.own_run(owner))

    async def _look_after(self, orphans: Sequence[StockRun], open_runs: int) -> None:
        await self._orphans.look(orphans, open_runs)
        for identifier in list(self._doubted):
            known = self._tracked.runs.get(identifier)
            if known is None or self._tracked.owner_of(known) is None:
                await self._settle_doubt(identifier)

    def _missing(self, uids: Sequence[str], open_runs: int) -> None:
        """Items that were here, and are in the list no more, though the watch has told of no deletion. Very many are
        none: the list is of another cluster, or of one that was restored. What is left of them is a workflow without an
        item, as one whose deletion nobody saw."""
        if self._settings.cancel_orphans or not too_many(len(uids), open_runs):
            for uid in uids:
                self._gone(uid)
            return
        logger.error("many StockItems are gone that nobody was seen to delete", extra={"items": len(uids)})
        for uid in uids:
            del self._tracked[uid]

    def _gone(self, uid: str) -> None:
        tracked = self._tracked.get(uid)
        if tracked is not None:
            tracked.gone = True
            self._look(uid)

    def _resynced(self, open_ids: frozenset[str]) -> None:
        """What is open was listed. A run that was not among it has ended, or Temporal has lost it: the next start finds
        out."""
        for identifier, run in list(self._tracked.runs.items()):
            if run.running and identifier not in open_ids:
                del self._tracked.runs[identifier]
        self._look_at_unanswered()

    def _look_at_unanswered(self) -> None:
        """Temporal's side is known, or known again: look at the items that lack their workflow or its answer."""
        for uid, tracked in self._tracked.items():
            run = self._tracked.own_run(uid)
            if run is None or not run.running or self._tracked.awaits_worker(tracked.resource):
                self._look(uid)

    async def _decode(self, row: WorkflowExecutionInfo) -> StockRun | None:
        key = parse_stock_workflow_id(row.execution.workflow_id)
        if key is None or key.cluster not in (None, self._settings.cluster):
            return None
        return await decode_stock(self._connection.client, row)

    def _observed(self, run: StockRun) -> None:
        if run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
            return  # its successor has a row of its own
        if self.learn(run):
            self._look_at_owner(run)  # another item that waits for this article looks again by itself

    def learn(self, run: StockRun, *, asked: bool = False) -> bool:
        """Take in what visibility shows, or, `asked`, what Temporal itself answered. Whether it is news."""
        known = self._tracked.runs.get(run.workflow_id)
        if known is not None and run.precedes(known) and not asked:
            self._doubt(run, known)
            return False
        self._tracked.learn(run)
        if run.workflow_id not in self._tracked.runs:
            self._scanner.forget(run.workflow_id)
        return True

    def _doubt(self, run: StockRun, known: StockRun) -> None:
        """Visibility lags, or Temporal was restored from a backup: it is asked itself."""
        if run.running:
            self._doubted.add(run.workflow_id)
            self._look_at_owner(known)

    def _look_at_owner(self, run: StockRun) -> None:
        owner = self._tracked.owner_of(run)
        if owner is not None:
            self._look(owner)

    async def settle_doubts(self, item: StockItemResource) -> Problem | None:
        """Ask Temporal about the workflows of the item's article, where what was seen of them may be wrong."""
        present, former = item.workflow_ids(self._settings.cluster)
        return await self._settle_doubt(present) or await self._settle_doubt(former)

    async def _settle_doubt(self, identifier: str) -> Problem | None:
        """Take what Temporal itself says of the workflow now for true, though it be of an earlier moment."""
        if identifier not in self._doubted or self._connection.problem is not None:
            return None
        try:
            row = await find(self._connection.client, identifier)
        except RPCError as failed:
            return self._connection.problem_of(failed)
        self._doubted.discard(identifier)
        run = await decode_stock(self._connection.client, row) if row is not None else None
        if run is not None:
            self.learn(run, asked=True)
        return None
