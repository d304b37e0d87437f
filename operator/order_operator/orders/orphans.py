"""Workflows without a resource. None is cancelled because its resource was not seen once.

An order that lasts carries our finalizer, so that its deletion is seen. A workflow of some age without its resource
has lost the finalizer by force: it is reported, and a person decides. So is any that began before orders were last
missing that cannot have gone by themselves (`LastLoss`). Another young one may have been deleted before it had
a finalizer: when two looks, minutes apart, find no resource, it is cancelled, or let go on, as its resource had said;
a few a minute, and none while many workflows look so at once. That says that something else is wrong: a restored
cluster, a wrong namespace.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.service import RPCError

from order_codec.undecodable import Undecodable
from order_domain import moments
from order_domain.order import DeletionPolicy
from order_operator import metrics
from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.cluster.api_names import ORDERS
from order_operator.cluster.event_reasons import EventReason
from order_operator.cluster.events import Event, EventRecorder
from order_operator.orders.beginning import deletion_policy
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource
from order_operator.orders.takeover import is_abandoned, seconds_until_takeover, take_over
from order_operator.orders.tracking import Told, Tracked
from order_operator.settings import Settings
from order_operator.temporal.cancellation import (
    MAX_PER_LOOK,
    TWO_LOOKS_SECONDS,
    mark_orphaned,
    request_cancel,
    too_many,
)
from order_operator.temporal.connection import TemporalConnection

YOUNG_SECONDS = 600.0
"""Age, at the first look without its resource, up to which a run counts as young. An order that lasts carries the
finalizer seconds after its start; the rest is for an operator that was away."""

logger = logging.getLogger(__name__)


@dataclass
class OrphanPlan:
    """What to do about the runs that have no resource at this look."""

    cancel: list[Observation] = field(default_factory=list)
    report: list[Observation] = field(default_factory=list)
    """Lost their resource by force, as far as can be told."""
    braked: bool = False
    """So many look orphaned that none is touched."""


class LastLoss:
    """When orders were last found to be missing that cannot have gone by themselves. It outlasts this process: the next
    one finds fewer workflows without an order, and cannot tell why."""

    def __init__(self, kept: str | None = None, keep: Callable[[str], None] = lambda _: None) -> None:
        """`kept`: what an earlier process has kept."""
        self._keep = keep
        self.at = _moment(kept)

    def is_now(self, moment: datetime) -> None:
        """Orders are missing at this moment of Temporal's clock."""
        self.at = max(moment, self.at or moment)
        self._keep(self.at.isoformat())

    def may_be_of(self, run: Observation) -> bool:
        """Whether the resource of this run may be one of those."""
        return self.at is not None and (run.order_began is None or run.order_began <= self.at)


def _moment(kept: str | None) -> datetime | None:
    """Of what cannot be read the present moment is made: something was lost, and nobody knows when."""
    return None if kept is None else moments.read(kept) or datetime.now(UTC)


class OrphanLog:
    """Since when each run has been seen without its resource. Pure but for what it remembers."""

    def __init__(self, loss: LastLoss) -> None:
        self._loss = loss
        self._first: dict[str, tuple[float, bool]] = {}
        """By workflow id: monotonic time of the first look, and whether the order was young then. Not by run: after a
        reset it is the same order."""

    def plan(
        self, orphans: list[Observation], open_runs: int, *, clock: float, now: datetime, released: bool
    ) -> OrphanPlan:
        """`now`: the present time, by the later of Temporal's clock and ours; `clock`: monotonic;
        `released`: a person has looked, and the brake does not hold."""
        seen = {run.workflow_id for run in orphans}
        self._first = {workflow: first for workflow, first in self._first.items() if workflow in seen}
        found = OrphanPlan()
        due: list[Observation] = []
        for run in orphans:
            age = (now - run.order_began).total_seconds() if run.order_began else float("inf")
            since, young = self._first.setdefault(run.workflow_id, (clock, age <= YOUNG_SECONDS))
            if (not young or self._loss.may_be_of(run)) and not released:
                found.report.append(run)
            elif clock - since >= TWO_LOOKS_SECONDS:
                due.append(run)
        found.braked = not released and too_many(len(orphans), open_runs)
        if not found.braked:
            found.cancel = due[:MAX_PER_LOOK]
        else:
            self._loss.is_now(now)
        return found


class Orphans:
    """Carries the plan out."""

    def __init__(
        self,
        connection: TemporalConnection,
        api: KubernetesApi,
        settings: Settings,
        present: Callable[[], datetime],
        resource_found: Callable[[Mapping[str, Any]], None],
        events: EventRecorder,
        loss: LastLoss,
    ) -> None:
        self._loss = loss
        self._connection = connection
        self._api = api
        self._settings = settings
        self._present = present
        self._resource_found = resource_found
        self._events = events
        self._log = OrphanLog(loss)
        self._reported: set[str] = set()
        self._left: set[str] = set()
        """Run ids of those that began with what nobody can read: the others do not wait for them."""

    async def look(self, without_resource: Mapping[str, Tracked], open_runs: int) -> None:
        """One look at the runs that have no resource: `without_resource` by uid, of all `open_runs`."""
        if self._connection.problem is not None:
            return
        now = self._present()
        orphans: dict[str, Tracked] = {}
        forgotten: list[tuple[Tracked, Observation]] = []
        for tracked, run in self._of_ours(without_resource):
            if is_abandoned(run):
                await self._take_over(tracked, run, now)
            elif tracked.told is None or not tracked.has_told(run):
                orphans[run.run_id] = tracked
            elif not tracked.is_heard(run, tracked.told.policy):
                forgotten.append((tracked, run))
        runs = [tracked.observation for tracked in orphans.values() if tracked.observation is not None]
        plan = self._log.plan(runs, open_runs, clock=time.monotonic(), now=now, released=self._settings.cancel_orphans)
        metrics.ORPHANS.set(len(runs))
        metrics.ORPHAN_BRAKE.set(plan.braked)
        if plan.braked:
            logger.error(
                "many workflows have no Order, and none is cancelled. Is this the right cluster, the right namespace? "
                "Then set ORDER_OPERATOR_CANCEL_ORPHANS=true",
                extra={"workflows": len(runs), "open_runs": open_runs},
            )
        for run in plan.report:
            self._report(run)
        self._reported &= {run.run_id for run in runs}
        for run in plan.cancel:
            await self._tell(orphans[run.run_id], run)
        for tracked, run in forgotten[:MAX_PER_LOOK]:
            await self._tell(tracked, run)

    def orders_lost(self) -> None:
        """Orders are missing now that cannot have gone by themselves."""
        self._loss.is_now(self._present())

    def _of_ours(self, without_resource: Mapping[str, Tracked]) -> Iterator[tuple[Tracked, Observation]]:
        """Those that something may have to be done for."""
        for tracked in without_resource.values():
            run = tracked.observation
            if run is None or not self._is_ours(run):
                continue
            if is_abandoned(run) or not (run.orphaned or run.run_id in self._left):
                yield tracked, run

    def _is_ours(self, run: Observation) -> bool:
        """Of one that cannot be read nothing says so, nor that it was not released on purpose."""
        return (
            self._settings.watches(run.key.namespace) and not run.unreadable and run.cluster == self._settings.cluster
        )

    def _report(self, run: Observation) -> None:
        if run.run_id in self._reported:
            return
        self._reported.add(run.run_id)
        logger.error(
            "a workflow has no Order any more, which lost its finalizer by force: cancel the workflow if the order is "
            "to be undone",
            extra={"workflow_id": run.workflow_id, "run_id": run.run_id},
        )
        note = (
            f"workflow {run.workflow_id} goes on without this order, which lost its finalizer by force: cancel the "
            "workflow if the order is to be undone"
        )
        reason = EventReason.WORKFLOW_WITHOUT_ORDER
        self._events.tell(_lost(run), Event(f"{reason}.{run.run_id[:8]}", "Warning", reason, note))

    async def _tell(self, tracked: Tracked, run: Observation) -> None:
        """Cancel it, or let it go on, as its resource had said. The API server is asked once more."""
        try:
            body = await self._api.get(ORDERS, run.key.namespace, run.key.name)
            if body["metadata"]["uid"] == run.key.uid:
                self._resource_found(body)
                return
        except NotFound:
            pass
        try:
            policy = (tracked.told and tracked.told.policy) or await deletion_policy(self._connection.client, run)
            if policy is DeletionPolicy.CANCEL:
                await request_cancel(self._connection.client, run)
            elif policy is DeletionPolicy.ORPHAN:
                await mark_orphaned(self._connection.client, run)
            else:
                self._left.add(run.run_id)  # nothing says what is to happen to it
                return
        except RPCError as failed:
            logger.warning("orphan not told", extra={"workflow_id": run.workflow_id, "error": failed.message})
            return
        tracked.told = Told(run.run_id, policy, time.monotonic())
        if policy is DeletionPolicy.ORPHAN:
            about = {"workflow_id": run.workflow_id}
            logger.warning("a workflow goes on without its Order, whose deletionPolicy was Orphan", extra=about)
            return
        metrics.ORPHANS_CANCELLED.inc()
        logger.warning("cancelled a workflow without an Order", extra={"workflow_id": run.workflow_id})

    async def _take_over(self, tracked: Tracked, run: Observation, now: datetime) -> None:
        """It makes no difference whether the resource is gone for good or has not been seen yet, nor whether the order
        was to go on without it: a workflow that stopped goes nowhere."""
        if seconds_until_takeover(run, now) > 0:
            return
        try:
            tracked.learn(await take_over(self._connection.client, run), asked=True)
        except RPCError as failed:
            logger.warning("not taken over", extra={"workflow_id": run.workflow_id, "error": failed.message})
        except Undecodable as lacking:  # tried again at the next look
            logger.warning("not taken over", extra={"workflow_id": run.workflow_id, "error": str(lacking)})


def _lost(run: Observation) -> OrderResource:
    """The resource that this run began with, as far as the run tells: what an event is about."""
    return OrderResource(
        namespace=run.key.namespace,
        name=run.key.name,
        uid=run.key.uid,
        generation=0,
        resource_version="0",
        created=run.start_time or datetime.now(UTC),
        deleting=True,
        finalizers=(),
        spec={},
        status={},
    )
