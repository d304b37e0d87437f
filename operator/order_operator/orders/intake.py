"""What watch, list and scanner tell of orders: it is remembered, and says which orders are to be looked at.

Nothing is decided here: news of an order leads to a look at it (`reconcile.py`), which reads what is true then.
"""

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowExecutionStatus

from order_operator import metrics
from order_operator.background import Background
from order_operator.cluster.api import KubernetesApi, Listed
from order_operator.cluster.api_names import ORDERS
from order_operator.cluster.events import EventRecorder
from order_operator.cluster.inventory import not_brought
from order_operator.orders.adoption import OpenRuns
from order_operator.orders.observation import Observation, decode
from order_operator.orders.orphans import LastLoss, Orphans
from order_operator.orders.pending_work import PendingWork, is_at_work
from order_operator.orders.resource import OrderResource
from order_operator.orders.takeover import is_abandoned
from order_operator.orders.tracking import Tracked, TrackedOrders
from order_operator.settings import Settings
from order_operator.temporal.cancellation import too_many
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import cluster_of, is_open
from order_operator.temporal.scanner import Scanner, Subscriber
from order_workflows.contract import WORKFLOW_TYPE, parse_workflow_id, workflow_id

logger = logging.getLogger(__name__)


class Intake:
    """Keeps `TrackedOrders` up to date."""

    plural = ORDERS

    def __init__(
        self,
        api: KubernetesApi,
        connection: TemporalConnection,
        scanner: Scanner,
        settings: Settings,
        tracked: TrackedOrders,
        events: EventRecorder,
        *,
        look: Callable[[str], None],
        forget: Callable[[str], None],
        loss: LastLoss,
    ) -> None:
        """`look` is called with the uid of an order of which something is new, `forget` with that of one of which
        nothing is left."""
        self._connection = connection
        self._settings = settings
        self._tracked = tracked
        self._scanner = scanner
        self._look = look
        self._forget = forget
        self.open_runs = OpenRuns()
        self._adopted: dict[str, str] = {}
        """Uid of the resource that adopted it, by the id of each workflow that is followed for that, whoever started it
        or has adopted it since."""
        self._share_workers: set[str] = set()
        """Other installations with orders on our task queue."""
        self._background = Background()
        self._orphans = Orphans(
            connection, api, settings, present=self._present, resource_found=self.put, events=events, loss=loss
        )
        scanner.subscribers[WORKFLOW_TYPE] = Subscriber(
            decode=self._decode,
            observed=self._observed,
            live=self._tracked.any_is_open,
            resynced=self._resynced,
        )
        connection.on_recovery(self.look_at_all)

    def put(self, body: Mapping[str, Any]) -> None:
        """The watch delivered a version of an Order."""
        order = OrderResource.from_body(body)
        metrics.watching(order.namespace)
        if self._tracked.put(order):
            self._look(order.uid)

    def remove(self, body: Mapping[str, Any]) -> None:
        """The watch says that an Order is gone."""
        uid = body["metadata"]["uid"]
        tracked = self._tracked.get(uid)
        if tracked is not None:
            # The last version there was: its deletionPolicy counts.
            tracked.resource = tracked.resource if tracked.finished else OrderResource.from_body(body)
            tracked.gone = True
            self._look(uid)

    def _present(self) -> datetime:
        """The later of Temporal's clock, as far as its rows tell, and ours: the rows of a quiet server tell nothing of
        the hours since. A clock that is ahead makes a workflow older than it is, and so reported, not cancelled."""
        now = datetime.now(UTC)
        return max(self._scanner.newest or now, now)

    def compare(
        self, listed: Mapping[str, Listed], version: int, covers: Callable[[str], bool] = lambda _: True
    ) -> list[Listed]:
        """Compare with a list of all orders of the namespaces that it `covers`, made independently of the watch, as of
        resourceVersion `version`: orders that are gone and workflows without an order are dealt with; what the watch
        has not brought yet is returned."""
        without_resource: dict[str, Tracked] = {}
        missing: list[str] = []
        not_here_yet = {(each.namespace, each.name) for uid, each in listed.items() if uid not in self._tracked}
        to_be_adopted = self._tracked.names_without_run() | not_here_yet
        for uid, tracked in list(self._tracked.items()):
            known = tracked.resource
            of = known or (tracked.observation and tracked.observation.key)
            if uid in listed or (of and not covers(of.namespace)):
                continue
            if known is not None:
                if known.version <= version:
                    missing.append(uid)
                continue
            run = tracked.observation
            if run is None or run.key.uid != uid or not (run.running or is_abandoned(run)):
                self._forget(uid)
            elif is_abandoned(run) or run.key[:2] not in to_be_adopted:  # what stopped is not adopted, but waited for
                without_resource[uid] = tracked
        without_resource |= self._missing(missing, to_be_adopted)
        self._background.spawn(self._orphans.look(without_resource, self._number_of_open_runs()))
        brought = {uid: each.resource for uid in listed if (each := self._tracked.get(uid)) is not None}
        return not_brought(listed, version, brought.get)

    def _missing(self, uids: Sequence[str], to_be_adopted: Container[tuple[str, str]]) -> dict[str, Tracked]:
        """Orders that were here, and are in the list no more, though the watch has not said that they were deleted. One
        without our finalizer may just have been; one that had it cannot have gone by itself, and where very many are
        missing the list is of another cluster, or of one that was restored. What is left of these is a workflow without
        a resource, which is returned."""
        under_way = {uid for uid in uids if self._tracked[uid].may_have_run}
        unexpected = sum(1 for uid in under_way if not self._tracked[uid].gone)
        braked = too_many(unexpected, self._number_of_open_runs())
        left: dict[str, Tracked] = {}
        lost: list[str] = []
        for uid in uids:
            tracked = self._tracked[uid]
            known = tracked.resource
            assert known is not None
            by_force = known.held and not known.deleting
            if uid not in under_way or tracked.gone or self._settings.cancel_orphans or not (braked or by_force):
                tracked.gone = True
                self._look(uid)
                continue
            lost.append(known.reference)
            self._forget(uid)
            if uid in self._tracked and (known.namespace, known.name) not in to_be_adopted:
                left[uid] = self._tracked[uid]
        if lost:
            self.orders_lost()
            about = {"orders": len(lost), "resource": lost[0]}
            logger.error("orders are gone that nobody was seen to delete; their workflows go on", extra=about)
        return left

    def orders_lost(self) -> None:
        """Orders are missing, or may be, that nobody has deleted: their workflows are not cancelled for that."""
        self._orphans.orders_lost()

    def _number_of_open_runs(self) -> int:
        observations = (tracked.observation for tracked in self._tracked.values())
        return sum(1 for observation in observations if observation is not None and observation.running)

    def classes_changed(self) -> None:
        """A class came, changed or went: orders that wait for one look again."""
        for uid, tracked in self._tracked.items():
            if tracked.resource is not None and tracked.finished is None and tracked.observation is None:
                self._look(uid)

    def look_at_all(self) -> None:
        """Temporal can be asked, or can be asked again."""
        for uid, tracked in self._tracked.items():
            if tracked.resource is not None and tracked.finished is None:
                self._look(uid)

    async def _decode(self, row: WorkflowExecutionInfo) -> Observation | None:
        """A workflow is followed if its resource is here, or if this installation has started it."""
        key = parse_workflow_id(row.execution.workflow_id)
        if key is None:
            return None
        cluster = cluster_of(row)
        followed = key.uid in self._tracked or row.execution.workflow_id in self._adopted
        if not followed and cluster != self._settings.cluster:
            self.open_runs.saw(key, running=is_open(row))
            if is_open(row) and row.task_queue == self._settings.task_queue:
                self._shares_workers(cluster or "of an earlier release")
            return None
        return await decode(self._connection.client, key, row)

    def _shares_workers(self, cluster: str) -> None:
        """Told once of each installation: two may share all, ledger and providers as well, on purpose."""
        if cluster in self._share_workers:
            return
        self._share_workers.add(cluster)
        logger.error(
            "another installation has orders on our task queue: workers of either carry out the orders of both, by "
            "their own ledger and payment provider. Unless these are shared, too, give one a task queue of its own: "
            "operator.taskQueue and workers.<name>.taskQueue",
            extra={"installation": cluster, "task_queue": self._settings.task_queue},
        )

    def _observed(self, observation: Observation) -> None:
        uid, began = observation.key.uid, parse_workflow_id(observation.workflow_id)
        assert began is not None
        if observation.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
            self._continued(observation)
            return
        self.open_runs.saw(began, running=observation.running or is_abandoned(observation))
        self._tell_adopter(observation)
        if began.uid != uid:
            self.adopted(began.uid, observation)
            if uid in self._tracked:
                self.follow(observation)
        if uid not in self._tracked and observation.cluster != self._settings.cluster:
            return
        self._learn(self._tracked.setdefault(uid, Tracked()), observation)

    def _learn(self, tracked: Tracked, observation: Observation) -> None:
        order = tracked.resource
        if order is not None and (order.namespace, order.name) != observation.key[:2]:
            logger.warning("a workflow bears the uid of another order", extra={"workflow_id": observation.workflow_id})
            return
        if tracked.finished is not None:
            snapshot = observation.snapshot
            if snapshot is not None and not observation.running and snapshot.status.phase is tracked.phase:
                return
            tracked.finished = None
            tracked.doubt()
        doubted = tracked.is_doubted_by(observation)
        if doubted:
            tracked.doubt()
        if (tracked.learn(observation, asked=False) or doubted) and tracked.resource is not None:
            self._look(observation.key.uid)

    def _continued(self, run: Observation) -> None:
        """Its order goes on in another run, whose row may be missing here: a full scan leaves out what is completed."""
        tracked = self._tracked.get(run.key.uid)
        if tracked is None or tracked.finished is not None:
            return
        seen = tracked.observation
        if seen is None or run.run_id == seen.run_id or not run.precedes(seen):
            self.doubt(run.key.uid)

    def follow(self, observation: Observation) -> None:
        """The open workflow of an order that is here."""
        if observation.running and observation.workflow_id != workflow_id(*observation.key):
            self._adopted[observation.workflow_id] = observation.key.uid

    def _tell_adopter(self, observation: Observation) -> None:
        """The resource that had adopted this workflow, where that names another one: another installation has it now,
        or its run was reset, or Temporal restored, to before the adoption. Or the row is late."""
        adopter = self._adopted.get(observation.workflow_id)
        tracked = self._tracked.get(adopter) if adopter is not None and adopter != observation.key.uid else None
        if adopter is None or tracked is None or tracked.finished is not None:
            return
        if observation.snapshot is None:  # which is where the owner stands
            return
        if observation.cluster == self._settings.cluster or observation.was_never_adopted:
            self.doubt(adopter)
        elif tracked.learn(observation, asked=False):
            self._look(adopter)

    def unfollow(self, identifier: str) -> None:
        """The order that had adopted this workflow is gone."""
        self._adopted.pop(identifier, None)

    def adopted(self, first_uid: str, observation: Observation) -> None:
        """The workflow that began with this uid belongs to another resource now."""
        first = self._tracked.get(first_uid)
        if first is None or first.finished is not None:
            return
        if first.resource is None:
            del self._tracked[first_uid]
        elif first.learn(observation, asked=False):
            self._look(first_uid)

    def _resynced(self, open_ids: frozenset[str]) -> None:
        """What is open was listed. A run that was not among it has ended, or Temporal has lost it: it is asked."""
        for uid, tracked in self._tracked.items():
            if tracked.resource is None or tracked.finished is not None:
                continue
            observation = tracked.observation
            missing = observation is not None and observation.running and observation.workflow_id not in open_ids
            if missing:
                tracked.doubt()
            if missing or observation is None:
                self._look(uid)

    def doubt(self, uid: str) -> None:
        """What was seen of the order's run may be wrong."""
        tracked = self._tracked.get(uid)
        if tracked is not None:
            tracked.doubt()
            self._look(uid)

    def run_of(self, uid: str) -> Observation | None:
        """The order's run while it is at work: neither ended nor waiting for anybody."""
        tracked = self._tracked.get(uid)
        run = tracked.observation if tracked is not None and tracked.finished is None else None
        if run is None or not run.running or run.unreadable:
            return None
        return run if is_at_work(run) else None

    def found(self, uid: str, run: Observation, work: PendingWork) -> None:
        """What the order waits for, as Temporal itself says."""
        tracked = self._tracked.get(uid)
        if tracked is not None and tracked.observation is run and tracked.work != work:
            tracked.work = work
            self._look(uid)

    def queues_in_use(self) -> frozenset[str]:
        """Task queues of the orders that have not ended."""
        queues = {self._settings.task_queue}
        for tracked in self._tracked.values():
            if tracked.observation is not None and tracked.observation.running:
                queues.add(tracked.observation.task_queue)
                queues |= tracked.work.task_queues if tracked.work is not None else set()
        return frozenset(queues)

    def decisions_proven_otherwise(self, namespaces: Container[str]) -> None:
        """Whether names are proven has changed there."""
        for uid, tracked in self._tracked.items():
            order = tracked.resource
            if order is not None and tracked.finished is None and order.namespace in namespaces and order.decides:
                self._look(uid)
