"""Brings each StockItem and its article's workflow into agreement, from what is true now.

In an installation an article has one workflow, `stock/<cluster>/<sku>`; it belongs to the item whose uid its memo
carries. Other items of the same article wait until that run has ended. Of several installations on one ledger the first
keeps the article, says the ledger. The workflow of an earlier release, `stock/<sku>`, is followed until the one that
takes its place keeps the article. Everything may be repeated or lost at any point.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from order_operator import backoff
from order_operator.cluster.api import Conflict, KubernetesApi, NotFound
from order_operator.cluster.api_names import STOCK_ITEMS
from order_operator.cluster.conditions import Reason
from order_operator.cluster.events import EventRecorder
from order_operator.cluster.resource import InvalidSpec
from order_operator.cluster.status_writer import StatusWriter
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.stock_items.amendment import ANSWER_GRACE_SECONDS, StockAmender
from order_operator.stock_items.deletion import Deletion
from order_operator.stock_items.handover import Handover
from order_operator.stock_items.intake import StockIntake
from order_operator.stock_items.queue_change import WORKERS_SECONDS, QueueChange
from order_operator.stock_items.reflection import UNSEEN, reflect_stock
from order_operator.stock_items.run import StockRun
from order_operator.stock_items.submission import Submission
from order_operator.stock_items.tracking import Tracked, TrackedItems
from order_operator.temporal.connection import NOT_ANSWERED, TemporalConnection
from order_operator.temporal.scanner import Scanner
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_operator.work_queue import MAX_BACKOFF_SECONDS, WorkQueue

CONCURRENCY = 20
"""Items reconciled at once; each waits for at most one answer."""
WRITE_INTERVAL_SECONDS = 1.0
"""Least time between two status writes of one item: an article that is ordered a lot changes all the time."""


class StockReconciler:
    """Owns the tracked stock items and their queue."""

    def __init__(
        self,
        api: KubernetesApi,
        connection: TemporalConnection,
        scanner: Scanner,
        settings: Settings,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_act`: whether this process leads, asked before each reconciliation."""
        self._may_act = may_act
        self._connection = connection
        self._scanner = scanner
        self._writer = StatusWriter(api, EventRecorder(api, settings.identity))
        self.queue = WorkQueue(self.reconcile, concurrency=CONCURRENCY, handler=STOCK_ITEMS, about=self._about)
        tracked = self._tracked = TrackedItems(settings.cluster)
        self.intake = StockIntake(api, connection, scanner, settings, tracked, look=self.queue.add)
        owner = TaskQueueOwner(connection, settings)
        self._handover = Handover(api, connection, tracked)
        self._submission = Submission(connection, settings, tracked, self.intake, self._handover, owner)
        self._queue_change = QueueChange(connection, settings, tracked, self.intake, owner)
        self._amender = StockAmender(api, connection, tracked, self.intake)
        self._deletion = Deletion(connection, settings, tracked, self.intake)

    def below_minimum(self) -> Mapping[str, int]:
        """How many articles have fewer free pieces than their minimum, by namespace, for the gauges."""
        return self._tracked.below_minimum()

    def _about(self, uid: str) -> dict[str, object]:
        """Which item a log line is about."""
        tracked = self._tracked.get(uid)
        return {"uid": uid, **({"resource": tracked.resource.reference} if tracked else {})}

    async def reconcile(self, uid: str) -> float | None:
        """Do what is missing; the seconds until the next look, None to wait for news."""
        tracked = self._tracked.get(uid)
        if tracked is None:
            return None
        if not self._may_act():
            return 1.0
        try:
            if tracked.gone:
                return await self._deletion.follow(tracked.resource)
            again = await self._keep(uid, tracked)
        except (Conflict, NotFound):
            # The watch brings the newer version and with it this item again; the delay is for a watch that lags.
            tracked.conflicts += 1
            return backoff.growing(tracked.conflicts, MAX_BACKOFF_SECONDS)
        tracked.conflicts = 0
        return again

    async def _keep(self, uid: str, tracked: Tracked) -> float | None:
        item = tracked.resource
        problem = await self.intake.settle_doubts(item)
        run = self._tracked.own_run(uid)
        unseen, away = run is None or not run.running or run.former, self._connection.problem
        if unseen and (away is NOT_ANSWERED or (away is None and not self._scanner.synced.is_set())):
            return None  # the first full scan knows whether the workflow runs; it queues this item again
        try:
            spec = item.parse_spec()
        except InvalidSpec as invalid:
            problem = (away if run is None else None) or Problem(Reason.INVALID_SPEC, str(invalid), stalled=True)
        else:
            if problem is None and unseen:
                problem = await self._submission.begin(tracked, spec)
            elif problem is None:
                problem = await self._queue_change.follow(tracked)
            run = self._tracked.own_run(uid)
            problem = problem or await self._handover.of_former_workflows(item, run)
            if run is not None and run.unreadable:
                return None  # an older operator must not guess; the status stays as the newer one wrote it
            if problem is None and run is not None and self._tracked.awaits_worker(tracked.resource):
                problem = await self._amender.configure(tracked, run, spec)
                run = self._tracked.own_run(uid)
                grace = tracked.configured_at + ANSWER_GRACE_SECONDS - time.monotonic()
                if problem is None and grace > 0:
                    return grace
        early = await self._show(tracked, run, problem)
        return early if early is not None else self._again(tracked, run, problem)

    def _again(self, tracked: Tracked, run: StockRun | None, problem: Problem | None) -> float | None:
        """The seconds until the next look, where all that is known is shown; None to wait for news."""
        item = tracked.resource
        passing = problem is not None and (not problem.stalled or problem.reason in _ASKED_AGAIN)
        if passing or self._tracked.awaits_worker(item) or self._tracked.former_run(item.uid) is not None:
            return backoff.at_most(MAX_BACKOFF_SECONDS)
        return WORKERS_SECONDS if run is not None and self._queue_change.concerns(run) else None

    async def _show(self, tracked: Tracked, run: StockRun | None, problem: Problem | None) -> float | None:
        """Write what changed; the seconds until it may be written if that is too early."""
        item = tracked.resource
        status = reflect_stock(
            item,
            run,
            now=datetime.now(UTC),
            temporal_namespace=self._connection.client.namespace,
            problem=problem,
        )
        if status == item.status:
            return None
        left = tracked.written_at + WRITE_INTERVAL_SECONDS - time.monotonic()
        if left > 0:
            return left
        tracked.written_at = time.monotonic()
        tracked.resource = await self._writer.write(item, status)
        return None


_ASKED_AGAIN = frozenset({Reason.SKU_TAKEN, *UNSEEN})
"""What somebody has to act for, and no news tells that it was done."""
