"""Brings each StockItem and its article's workflow into agreement, from what is true now.

In an installation an article has one workflow, `stock/<cluster>/<sku>`; it belongs to the item whose uid its memo
carries. Other items of the same article wait until that run has ended. Of several installations on one ledger the first
keeps the article, says the ledger. The workflow of an earlier release, `stock/<sku>`, is followed until the one that
takes its place keeps the article. Everything may be repeated or lost at any point.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import (
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from order_codec.undecodable import Undecodable
from order_domain.stock_item import StockItemSpec
from order_operator import backoff
from order_operator.background import Background
from order_operator.cluster.api import Conflict, KubernetesApi, Listed, NotFound
from order_operator.cluster.api_names import STOCK_ITEMS
from order_operator.cluster.conditions import Reason
from order_operator.cluster.events import EventRecorder
from order_operator.cluster.inventory import not_brought
from order_operator.cluster.resource import InvalidSpec
from order_operator.cluster.status_writer import StatusWriter
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.stock_items.orphans import StockOrphans
from order_operator.stock_items.reflection import UNSEEN, former_keeps, reflect_stock, taken
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import MEMO_ITEM, StockRun, decode_stock
from order_operator.temporal.cancellation import request_cancel, too_many
from order_operator.temporal.connection import NOT_ANSWERED, TemporalConnection
from order_operator.temporal.not_found import is_no_such_run
from order_operator.temporal.runs import RPC_TIMEOUT, find
from order_operator.temporal.scanner import Scanner, Subscriber
from order_operator.temporal.starting import Start, key_missing, start
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_operator.temporal.task_queues import has_workers
from order_operator.work_queue import MAX_BACKOFF_SECONDS, WorkQueue
from order_workflows.contract import (
    MEMO_UID,
    SIGNAL_CONFIGURE,
    SIGNAL_STOCK_CHANGED,
    STOCK_ITEM_WORKFLOW_TYPE,
    ResourceIdentity,
    StockItemInput,
    former_stock_workflow_id,
    parse_stock_workflow_id,
    stock_workflow_id,
)

CONCURRENCY = 20
"""Items reconciled at once; each waits for at most one answer."""
WRITE_INTERVAL_SECONDS = 1.0
"""Least time between two status writes of one item: an article that is ordered a lot changes all the time."""
ANSWER_GRACE_SECONDS = 2.0
"""Edited settings that are in force within this time are shown in one write, in force."""
TOLD_AGAIN_SECONDS = 600.0
"""After this a workflow that does not show that it was told of its item's deletion is told again."""
WORKERS_SECONDS = 60.0
"""How often another task queue, on which articles are kept, is asked for its workers."""
RESTART_SECONDS = 10.0
"""Before a run that ended while its item lives is replaced: one that ends again and again must not spin."""

logger = logging.getLogger(__name__)


@dataclass
class Tracked:
    """What is known of one item, under its uid."""

    resource: StockItemResource
    gone: bool = False
    """The resource was deleted; its workflow may still have to be told."""
    written_at: float = float("-inf")
    """Monotonic time of the last status write."""
    conflicts: int = 0
    """In a row: writes that met a newer version, or none."""
    configured: int = 0
    """Newest metadata.generation whose settings were sent."""
    configured_at: float = float("-inf")
    """Monotonic time at which they were sent last."""
    ended: str | None = None
    """Id of the run whose end under the item was seen last."""
    ended_at: float = float("-inf")
    """Monotonic time at which it was."""


class StockReconciler:
    """Owns the tracked stock items and their queue."""

    plural = STOCK_ITEMS

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
        self._api = api
        self._connection = connection
        self._scanner = scanner
        self._settings = settings
        self._tracked: dict[str, Tracked] = {}
        self._runs: dict[str, StockRun] = {}
        """By workflow id."""
        self._let_go: dict[str, float] = {}
        """By id of an open run: monotonic time at which it was told that its item is gone."""
        self._doubted: set[str] = set()
        """Workflow ids of which an earlier state was seen than is known: Temporal is asked which is true."""
        self._workers_seen: dict[str, float] = {}
        """By task queue: monotonic time at which it had workers, or ours had none."""
        self._background = Background()
        self._queue_owner = TaskQueueOwner(connection, settings)
        self._orphans = StockOrphans(connection, api, settings, item_found=self.put, told=self._told)
        self._writer = StatusWriter(api, EventRecorder(api, settings.identity))
        self.queue = WorkQueue(self._reconcile, concurrency=CONCURRENCY, handler=STOCK_ITEMS, about=self._about)
        scanner.subscribers[STOCK_ITEM_WORKFLOW_TYPE] = Subscriber(
            decode=self._decode,
            observed=self._observed,
            live=lambda: any(self._awaits_worker(uid, tracked) for uid, tracked in self._tracked.items()),
            resynced=self._resynced,
        )
        connection.on_recovery(self._requeue)

    def below_minimum(self) -> Mapping[str, int]:
        """How many articles have fewer free pieces than their minimum, by namespace, as the statuses show them."""
        short: Counter[str] = Counter()
        for tracked in self._tracked.values():
            item = tracked.resource
            on_hand, minimum = item.status.get("onHand"), item.spec.get("minimum")
            if isinstance(on_hand, int) and isinstance(minimum, int):
                short[item.namespace] += on_hand < minimum and not tracked.gone
        return short

    def put(self, body: Mapping[str, Any]) -> None:
        """The watch delivered a version of a StockItem."""
        item = StockItemResource.from_body(body)
        tracked = self._tracked.get(item.uid)
        if tracked is None:
            self._tracked[item.uid] = Tracked(item)
        elif item.version <= tracked.resource.version:
            return
        else:
            tracked.resource = item
        self.queue.add(item.uid)

    def remove(self, body: Mapping[str, Any]) -> None:
        """The watch says that a StockItem is gone."""
        self._gone(body["metadata"]["uid"])

    def compare(
        self, listed: Mapping[str, Listed], version: int, covers: Callable[[str], bool] = lambda _: True
    ) -> list[Listed]:
        """Compare with a list of all items of the namespaces that it `covers`, made independently of the watch, as of
        resourceVersion `version`: items that are gone and workflows without an item are dealt with; what the watch has
        not brought yet is returned."""
        open_runs = [run for run in self._runs.values() if run.running]
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
        if not (self._settings.watches(namespace) and covers(namespace)) or self._has_heard(run):
            return False
        if run.unreadable or run.cluster != self._settings.cluster:
            return False  # nothing says that it is ours
        return run.owner not in listed or (run.owner in self._tracked and not self._own_run(run.owner))

    async def _look_after(self, orphans: Sequence[StockRun], open_runs: int) -> None:
        await self._orphans.look(orphans, open_runs)
        for identifier in list(self._doubted):
            known = self._runs.get(identifier)
            if known is None or known.owner not in self._tracked:
                await self._settle_doubt(identifier)

    def _told(self, run_id: str) -> None:
        """That its item is gone."""
        self._let_go[run_id] = time.monotonic()

    def _has_heard(self, run: StockRun) -> bool:
        """Whether the run knows that its item is gone, or was told so of late. Temporal forgets it where it is restored
        from a backup, and the run is open as before."""
        if run.snapshot is not None and run.snapshot.released:
            return True
        return time.monotonic() - self._let_go.get(run.run_id, float("-inf")) < TOLD_AGAIN_SECONDS

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
            self.queue.add(uid)

    def _resynced(self, open_ids: frozenset[str]) -> None:
        """What is open was listed. A run that was not among it has ended, or Temporal has lost it: starting anew finds
        out."""
        for identifier, run in list(self._runs.items()):
            if run.running and identifier not in open_ids:
                del self._runs[identifier]
        self._requeue()

    def _requeue(self) -> None:
        """Temporal's side is known, or known again: look at the items that lack their workflow or its answer."""
        for uid, tracked in self._tracked.items():
            run = self._own_run(uid)
            if run is None or not run.running or self._awaits_worker(uid, tracked):
                self.queue.add(uid)

    def _own_run(self, uid: str) -> StockRun | None:
        """The item's workflow. Until there is one, the workflow of an earlier release. None for an item that a list has
        taken away meanwhile."""
        tracked = self._tracked.get(uid)
        if tracked is None:
            return None
        present = self._runs.get(stock_workflow_id(self._settings.cluster, tracked.resource.sku))
        former = self._former_run(uid)
        return present if present is not None and present.owner == uid else former

    def _former_run(self, uid: str) -> StockRun | None:
        """The open workflow that an earlier release started for the item."""
        tracked = self._tracked.get(uid)
        former = self._runs.get(former_stock_workflow_id(tracked.resource.sku)) if tracked is not None else None
        return former if former is not None and former.running and former.owner == uid else None

    def _about(self, uid: str) -> dict[str, object]:
        """Which item a log line is about."""
        tracked = self._tracked.get(uid)
        return {"uid": uid, **({"resource": tracked.resource.reference} if tracked else {})}

    def _awaits_worker(self, uid: str, tracked: Tracked) -> bool:
        """Whether a worker is about to tell the counts for the first time, or to take over edited settings."""
        run = self._own_run(uid)
        if run is None or not run.running or run.unreadable:
            return False
        return run.snapshot is None or run.snapshot.generation != tracked.resource.generation

    async def _decode(self, row: WorkflowExecutionInfo) -> StockRun | None:
        key = parse_stock_workflow_id(row.execution.workflow_id)
        if key is None or key.cluster not in (None, self._settings.cluster):
            return None
        return await decode_stock(self._connection.client, row)

    def _observed(self, run: StockRun) -> None:
        if run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
            return  # its successor has a row of its own
        if not self._learn(run) or run.owner not in self._tracked:
            return  # an item that waits for this article looks again by itself
        self.queue.add(run.owner)

    def _doubt(self, run: StockRun, known: StockRun) -> None:
        """Visibility lags, or Temporal was restored from a backup: it is asked itself."""
        if not run.running:
            return
        self._doubted.add(run.workflow_id)
        if known.owner in self._tracked:
            self.queue.add(known.owner)

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
            self._learn(run, asked=True)
        return None

    def _learn(self, run: StockRun, *, asked: bool = False) -> bool:
        """Take in what visibility shows, or, `asked`, what Temporal itself answered. Whether it is news."""
        known = self._runs.get(run.workflow_id)
        if known is not None and run.precedes(known) and not asked:
            self._doubt(run, known)
            return False
        self._runs[run.workflow_id] = run
        if not run.running:
            self._let_go.pop(run.run_id, None)
            if run.owner not in self._tracked:
                del self._runs[run.workflow_id]
                self._scanner.forget(run.workflow_id)
        return True

    async def _reconcile(self, uid: str) -> float | None:
        tracked = self._tracked.get(uid)
        if tracked is None:
            return None
        if not self._may_act():
            return 1.0
        try:
            if tracked.gone:
                return await self._after_deletion(uid, tracked.resource)
            again = await self._keep(uid, tracked)
        except (Conflict, NotFound):
            # The watch brings the newer version and with it this item again; the delay is for a watch that lags.
            tracked.conflicts += 1
            return backoff.growing(tracked.conflicts, MAX_BACKOFF_SECONDS)
        tracked.conflicts = 0
        return again

    async def _keep(self, uid: str, tracked: Tracked) -> float | None:
        item = tracked.resource
        problem = await self._settle_doubt(stock_workflow_id(self._settings.cluster, item.sku))
        problem = problem or await self._settle_doubt(former_stock_workflow_id(item.sku))
        run = self._own_run(uid)
        unseen, away = run is None or not run.running or run.former, self._connection.problem
        if unseen and (away is NOT_ANSWERED or (away is None and not self._scanner.synced.is_set())):
            return None  # the first full scan knows whether the workflow runs; it queues this item again
        try:
            spec = item.parse_spec()
        except InvalidSpec as invalid:
            problem = (away if run is None else None) or Problem(Reason.INVALID_SPEC, str(invalid), stalled=True)
        else:
            seen = self._leave_other_queue
            problem = problem or await (self._begin(tracked, spec) if unseen else seen(tracked))
            run = self._own_run(uid)
            problem = problem or await self._hand_over(uid) or await self._follow_other_identity(item, run)
            if run is not None and run.unreadable:
                return None  # an older operator must not guess; the status stays as the newer one wrote it
            if problem is None and run is not None and self._awaits_worker(uid, tracked):
                problem = await self._configure(tracked, run, spec)
                run = self._own_run(uid)
                grace = tracked.configured_at + ANSWER_GRACE_SECONDS - time.monotonic()
                if problem is None and grace > 0:
                    return grace
        early = await self._show(tracked, run, problem)
        if early is not None:
            return early
        passing = problem is not None and (not problem.stalled or problem.reason in _ASKED_AGAIN)
        if passing or self._awaits_worker(uid, tracked) or self._former_run(uid) is not None:
            return backoff.at_most(MAX_BACKOFF_SECONDS)
        return WORKERS_SECONDS if run is not None and self._may_leave_its_queue(run) else None

    async def _begin(self, tracked: Tracked, spec: StockItemSpec) -> Problem | None:
        """Where the article's workflow is not seen to run."""
        item = tracked.resource
        elsewhere = item.elsewhere(self._connection.client.namespace)
        return elsewhere or _ended_just_now(tracked, self._own_run(item.uid)) or await self._start(item, spec)

    def _may_leave_its_queue(self, run: StockRun) -> bool:
        """Whether this installation began the run on another task queue than the present one."""
        ours = run.running and not run.former and not run.unreadable and run.cluster == self._settings.cluster
        return ours and run.task_queue != self._settings.task_queue

    async def _leave_other_queue(self, tracked: Tracked) -> Problem | None:
        """Where no worker asks for the tasks of the run's queue any more, and some do on ours, the run is ended: the
        next one goes on there, from what the ledger has. While there are workers on its own it is kept by them."""
        run, now = self._own_run(tracked.resource.uid), time.monotonic()
        if run is None or not self._may_leave_its_queue(run) or self._connection.problem is not None:
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
            self._not_there(run)
            return Problem(Reason.SUBMITTING, "the run on another task queue has ended")
        about = {"workflow_id": run.workflow_id, "task_queue": run.task_queue}
        logger.warning("no worker asks for the task queue of an article: it is kept on another", extra=about)
        ended = replace(run, status=WorkflowExecutionStatus.TERMINATED)
        self._learn(ended)
        return _ended_just_now(tracked, ended)

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
                    argument=self._input(item, spec, self._former_run(item.uid)),
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
        self._learn(run)
        if run.lacks_key:
            why = f"whose workflow keeps this article cannot be read: {run.unreadable_because}"
            return Problem(Reason.ENCRYPTION_KEY_MISSING, why, stalled=True)
        if run.owner == item.uid:
            return None
        if run.item == item.reference and run.cluster == self._settings.cluster:
            return await self._follow_former_item(item, run)
        return taken(spec.sku, f"the StockItem {run.item}" if run.item else "a workflow that names no StockItem")

    async def _follow_former_item(self, item: StockItemResource, run: StockRun) -> Problem:
        """The workflow is of an item that had this name before: it was deleted and created again, or restored from a
        backup. That the name is this item's, which the API server is asked, says that the former is gone. Raises
        NotFound."""
        if not self._has_heard(run):
            body = await self._api.get(STOCK_ITEMS, item.namespace, item.name)
            if body["metadata"]["uid"] != item.uid:
                raise Conflict("the name is another item's now")
            try:
                if await request_cancel(self._connection.client, run):
                    self._told(run.run_id)
            except RPCError as failed:
                return self._connection.problem_of(failed)
        return former_keeps(item.sku)

    async def _hand_over(self, uid: str) -> Problem | None:
        """Let the workflow of an earlier release look at the ledger: it ends once another keeps the article."""
        former, present = self._former_run(uid), self._own_run(uid)
        if former is None or present is None or present.snapshot is None or present.former:
            return None
        handle = self._connection.client.get_workflow_handle(former.workflow_id)
        try:
            await handle.signal(SIGNAL_STOCK_CHANGED, rpc_timeout=RPC_TIMEOUT)
        except RPCError as failed:
            if not is_no_such_run(failed):
                return self._connection.problem_of(failed)
            self._not_there(former)
        return None

    async def _follow_other_identity(self, item: StockItemResource, run: StockRun | None) -> Problem | None:
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
                if not self._has_heard(former) and await request_cancel(client, former):
                    self._told(former.run_id)
            elif former.status is not WorkflowExecutionStatus.COMPLETED:
                return None  # it stopped before it let the article go, which takes a person
            else:
                await client.get_workflow_handle(run.workflow_id).signal(SIGNAL_STOCK_CHANGED, rpc_timeout=RPC_TIMEOUT)
        except RPCError as failed:
            return self._connection.problem_of(failed)
        why = f"workflow {keeper}, which this item had under another identity of the installation, lets the article go"
        return Problem(Reason.SUBMITTING, why)

    async def _configure(self, tracked: Tracked, run: StockRun, spec: StockItemSpec) -> Problem | None:
        """Send edited settings to a run that has published other ones; again from time to time, until it has them.
        Newer ones are those of an item that was restored from a backup, unless the watch lags: the API server is
        asked."""
        item, now = tracked.resource, time.monotonic()
        if run.snapshot is None or (
            tracked.configured == item.generation and now - tracked.configured_at < MAX_BACKOFF_SECONDS
        ):
            return None
        if self._connection.problem is not None:
            return self._connection.problem
        handle = self._connection.client.get_workflow_handle(run.workflow_id)
        settings = self._input(item, spec, None).settings
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
            self._not_there(run)
            return Problem(Reason.SUBMITTING, "")
        tracked.configured, tracked.configured_at = item.generation, now
        return None

    async def _is_set_back(self, item: StockItemResource) -> None:
        """The workflow has settings of a later version than `item`: etcd was restored, or this version is late, which
        the API server tells. Raises Conflict in the latter case, NotFound."""
        body = await self._api.get(STOCK_ITEMS, item.namespace, item.name)
        newest = StockItemResource.from_body(body)
        if (newest.uid, newest.generation) != (item.uid, item.generation):
            self.put(body)
            raise Conflict("a newer version is there")

    def _not_there(self, run: StockRun) -> None:
        """Temporal itself has no such open run. The scanner brings its end, if it has one; a run that is lost has none,
        and the next look starts another."""
        if self._runs.get(run.workflow_id) is run:
            del self._runs[run.workflow_id]

    def _input(self, item: StockItemResource, spec: StockItemSpec, former: StockRun | None) -> StockItemInput:
        cluster = self._settings.cluster
        identity = ResourceIdentity(cluster=cluster, namespace=item.namespace, name=item.name, uid=item.uid)
        begun = StockItemInput.of(identity, spec, item.generation)
        run = self._own_run(item.uid)
        if run is not None and run.snapshot is not None and run.snapshot.kept_by is None:
            # The ledger may have been restored since it was told this.
            begun = begun.model_copy(update={"on_order": run.snapshot.supplier_order})
        if former is None:
            return begun
        return begun.model_copy(update={"follows": former.workflow_id, "seq": max(0, former.seq)})

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

    async def _after_deletion(self, uid: str, item: StockItemResource) -> float | None:
        if self._connection.problem is not None:
            return MAX_BACKOFF_SECONDS
        ids = [stock_workflow_id(self._settings.cluster, item.sku), former_stock_workflow_id(item.sku)]
        rows = [await find(self._connection.client, identifier) for identifier in ids] if item.sku else []
        found = [await decode_stock(self._connection.client, row) for row in rows if row is not None]
        for run in found:
            if run is not None and run.running and run.owner == uid:
                if not await request_cancel(self._connection.client, run):
                    return 1.0  # it has ended, or goes on under another run id: it is asked for again
                self._told(run.run_id)
        del self._tracked[uid]
        for run in found:
            if run is not None:
                self._learn(run)  # nothing is kept of one that has ended
        return None


_ASKED_AGAIN = frozenset({Reason.SKU_TAKEN, *UNSEEN})
"""What somebody has to act for, and no news tells that it was done."""


def _ended_just_now(tracked: Tracked, run: StockRun | None) -> Problem | None:
    """The item's own run has ended under it, and is not replaced yet. Counted from when that was seen: the server that
    dates the end may be minutes away from our clock."""
    if run is None or run.running:
        return None
    now = time.monotonic()
    if tracked.ended != run.run_id:
        tracked.ended, tracked.ended_at = run.run_id, now
    if now - tracked.ended_at >= RESTART_SECONDS:
        return None
    message = f"the workflow ended as {run.status.name.title()} although the item is there: it is started again"
    return Problem(Reason.WORKFLOW_TERMINATED, message)
