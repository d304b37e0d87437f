"""Brings one order's workflow and resource into agreement, from what is true now.

`decision.py` says what to do next; here it is done, and the answer becomes part of what is known. Nothing remembers
what happened: the process may die, be repeated or run twice at any point.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, assert_never

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.service import RPCError

from order_domain.status import Phase
from order_operator import backoff
from order_operator.background import Background
from order_operator.cluster.api import ApiRefused, Conflict, KubernetesApi, Listed, NotFound
from order_operator.cluster.api_names import ORDERS
from order_operator.orders.adoption import OpenRuns, Predecessor, describe_order
from order_operator.orders.amendment import Amender
from order_operator.orders.classes import OrderClasses
from order_operator.orders.decision import (
    Action,
    Cancel,
    Confirm,
    Describe,
    DescribeOther,
    Finish,
    Forget,
    Known,
    Release,
    Send,
    SetFinalizer,
    Start,
    TakeOver,
    Wait,
    WriteStatus,
    next_action,
)
from order_operator.orders.events import announce, announce_refusal, occasion
from order_operator.orders.observation import Observation, decode, describe
from order_operator.orders.orphans import Orphans
from order_operator.orders.resource import OrderResource
from order_operator.orders.submission import ensure_started, order_input
from order_operator.orders.takeover import NOT_TAKEN_OVER, is_abandoned, take_over
from order_operator.orders.tracking import Finished, Tracked, TrackedOrders
from order_operator.orders.write_budget import WriteBudget
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.temporal.cancellation import mark_orphaned, request_cancel
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import cluster_of, is_open
from order_operator.temporal.scanner import Scanner, Subscriber
from order_operator.work_queue import MAX_BACKOFF_SECONDS, WorkQueue
from order_workflows.contract import WORKFLOW_TYPE, OrderInput, RunKey, parse_workflow_id, workflow_id

CONCURRENCY = 50
"""Orders reconciled at once; each waits for at most one answer, so this bounds the calls in flight."""
MAX_ACTIONS = 20
"""In one reconciliation. The longest way known is nine; an order that takes more goes back into the queue."""

logger = logging.getLogger(__name__)


class Reconciler:
    """Owns the tracked orders, their queue and the amender."""

    plural = ORDERS

    def __init__(
        self,
        api: KubernetesApi,
        connection: TemporalConnection,
        classes: OrderClasses,
        scanner: Scanner,
        settings: Settings,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_act`: whether this process leads, asked before each action."""
        self._may_act = may_act
        self._api = api
        self._connection = connection
        self._classes = classes
        self._settings = settings
        self._tracked = TrackedOrders()
        self._open_runs = OpenRuns()
        self._background = Background()
        self._budget = WriteBudget()
        self._scanner = scanner
        self.queue = WorkQueue(self.reconcile, concurrency=CONCURRENCY)
        self.amender = Amender(connection, answered=self.queue.add, vanished=self._doubt)
        self._orphans = Orphans(connection, api, settings, newest=lambda: scanner.newest, resource_found=self.put)
        scanner.subscribers[WORKFLOW_TYPE] = Subscriber(
            decode=self._decode,
            observed=self._observed,
            live=lambda: any(item.finished is None for item in self._tracked.values()),
            resynced=self._resynced,
        )
        connection.on_recovery(self._requeue)

    def statuses(self) -> Iterable[tuple[str, str]]:
        """Namespace and OrderStatus of every order, for the gauge."""
        return self._tracked.statuses()

    def finished(self) -> Iterator[tuple[OrderResource, Finished]]:
        """The orders to which nothing is left to do, as far as Temporal's side is known."""
        return self._tracked.finished() if self._scanner.synced.is_set() else iter(())

    # What the two sides tell.

    def put(self, body: Mapping[str, Any]) -> None:
        """The watch delivered a version of an Order."""
        order = OrderResource.from_body(body)
        if self._tracked.put(order):
            self.queue.add(order.uid)

    def remove(self, body: Mapping[str, Any]) -> None:
        """The watch says that an Order is gone."""
        uid = body["metadata"]["uid"]
        tracked = self._tracked.get(uid)
        if tracked is not None:
            # The last version there was: its deletionPolicy counts.
            tracked.resource = tracked.resource if tracked.finished else OrderResource.from_body(body)
            tracked.gone = True
            self.queue.add(uid)

    def compare(
        self, listed: Mapping[str, Listed], version: int, covers: Callable[[str], bool] = lambda _: True
    ) -> list[Listed]:
        """Compare with a list of all orders of the namespaces that it `covers`, made independently of the watch, as of
        resourceVersion `version`: orders that are gone and workflows without an order are dealt with; what the watch
        has not brought yet is returned."""
        without_resource: dict[str, Tracked] = {}
        to_be_adopted = self._tracked.names_without_run()
        for uid, tracked in list(self._tracked.items()):
            known = tracked.resource
            of = known or (tracked.observation and tracked.observation.key)
            if uid in listed or (of and not covers(of.namespace)):
                continue
            if known is not None:
                if int(known.resource_version) <= version:
                    tracked.gone = True
                    self.queue.add(uid)
                continue
            run = tracked.observation
            if run is None or run.key.uid != uid or not (run.running or is_abandoned(run)):
                self._forget(uid)
            elif run.key[:2] not in to_be_adopted:
                without_resource[uid] = tracked
        self._background.spawn(self._orphans.look(without_resource, self._number_of_open_runs()))
        return [item for item in listed.values() if self._is_behind(item)]

    def _number_of_open_runs(self) -> int:
        observations = (tracked.observation for tracked in self._tracked.values())
        return sum(1 for observation in observations if observation is not None and observation.running)

    def _is_behind(self, item: Listed) -> bool:
        tracked = self._tracked.get(item.uid)
        known = tracked.resource if tracked else None
        return known is None or int(known.resource_version) < item.resource_version

    def classes_changed(self) -> None:
        """A class came, changed or went: orders that wait for one look again."""
        for uid, tracked in self._tracked.items():
            if tracked.resource is not None and tracked.finished is None and tracked.observation is None:
                self.queue.add(uid)

    def _requeue(self) -> None:
        """Temporal can be asked, or can be asked again."""
        for uid, tracked in self._tracked.items():
            if tracked.resource is not None and tracked.finished is None:
                self.queue.add(uid)

    async def _decode(self, row: WorkflowExecutionInfo) -> Observation | None:
        """A workflow is followed if its resource is here, or if this installation has started it."""
        key = parse_workflow_id(row.execution.workflow_id)
        if key is None:
            return None
        if key.uid not in self._tracked and cluster_of(row) != self._settings.cluster:
            self._open_runs.saw(key, running=is_open(row))
            return None
        return await decode(self._connection.client, key, row)

    def _observed(self, observation: Observation) -> None:
        uid, began = observation.key.uid, parse_workflow_id(observation.workflow_id)
        assert began is not None
        self._open_runs.saw(began, running=observation.running or is_abandoned(observation))
        if began.uid != uid:
            self._adopted(began.uid, observation)
            if uid not in self._tracked and observation.cluster != self._settings.cluster:
                return
        tracked = self._tracked.setdefault(uid, Tracked())
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
        if tracked.learn(observation, asked=False) and tracked.resource is not None:
            self.queue.add(uid)

    def _adopted(self, first_uid: str, observation: Observation) -> None:
        """The workflow that began with this uid belongs to another resource now."""
        first = self._tracked.get(first_uid)
        if first is None or first.finished is not None:
            return
        if first.resource is None:
            del self._tracked[first_uid]
        elif first.learn(observation, asked=False):
            self.queue.add(first_uid)

    def _resynced(self, open_ids: frozenset[str]) -> None:
        """A full scan is through. An open run that it did not list has ended, or Temporal has lost it: it is asked."""
        for uid, tracked in self._tracked.items():
            if tracked.resource is None or tracked.finished is not None:
                continue
            observation = tracked.observation
            missing = observation is not None and observation.running and observation.workflow_id not in open_ids
            if missing:
                tracked.doubt()
            if missing or observation is None:
                self.queue.add(uid)

    def _doubt(self, uid: str) -> None:
        tracked = self._tracked.get(uid)
        if tracked is not None:
            tracked.doubt()
            self.queue.add(uid)

    # One order.

    async def reconcile(self, uid: str) -> float | None:
        """Do what is missing; the seconds until the next look, None to wait for news."""
        tracked = self._tracked.get(uid)
        if tracked is None or tracked.resource is None:
            return None
        tracked.refused, tracked.predecessor, tracked.asked, tracked.exists = None, None, False, False
        try:
            if tracked.outlined and tracked.finished is None:
                # It was finished with, and now its run goes on: it is needed whole again.
                await self._confirm(tracked, tracked.resource)
            return await self._until_rest(uid, tracked)
        except Conflict:
            return await self._look_at_newest(tracked)
        except NotFound:
            return 1.0  # the watch brings that it is gone; the delay is for a watch that lags
        except RPCError as failed:
            self._connection.problem_of(failed)
            return backoff.at_most(2.0)

    async def _look_at_newest(self, tracked: Tracked) -> float | None:
        """Somebody else was quicker. The newest version is fetched once, then the watch is waited for."""
        order = tracked.resource
        assert order is not None
        tracked.conflicts += 1
        if tracked.conflicts > 1:
            return backoff.growing(tracked.conflicts, MAX_BACKOFF_SECONDS)
        try:
            self.put(await self._api.get(ORDERS, order.namespace, order.name))
        except NotFound:
            return 1.0
        return 0.0

    async def _until_rest(self, uid: str, tracked: Tracked) -> float | None:
        action: Action = Wait()
        for _ in range(MAX_ACTIONS):
            order = tracked.resource
            assert order is not None
            if tracked.finished is not None:
                if tracked.gone:
                    self._forget(uid)
                return None
            action = next_action(self._known(uid, tracked, order))
            match action:
                case Wait(seconds):
                    return None if seconds is None else backoff.at_most(seconds)
                case Forget():
                    self._forget(uid)
                    return None
                case _ if self._may_act():
                    await self._perform(action, uid, tracked, order)
                case _:
                    return 1.0
        logger.error("an order does not come to rest", extra={"uid": uid, "action": str(action)})
        return 1.0

    def _known(self, uid: str, tracked: Tracked, order: OrderResource) -> Known:
        run, parsed = tracked.observation, order.decoded
        return Known(
            order=order,
            now=datetime.now(UTC),
            clock=time.monotonic(),
            gone=tracked.gone,
            exists=tracked.exists,
            observation=run,
            others=self._open_runs.of_others(order) if run is None else (),
            predecessor=tracked.predecessor,
            asked=tracked.asked,
            doubted=tracked.doubted,
            told=run is not None and tracked.told == run.run_id,
            synced=self._scanner.synced.is_set(),
            paused=self._settings.paused,
            connection=self._connection.problem,
            order_class=parsed if isinstance(parsed, Problem) else self._classes.resolve(parsed.spec),
            takeover_problem=tracked.takeover_problem,
            refused=tracked.refused,
            edits=self.amender.state(uid),
            written_at=tracked.written_at,
            status_seen_at=tracked.status_seen_at,
            quiet=self._budget.quiet,
            cluster=self._settings.cluster,
            temporal_namespace=self._connection.client.namespace,
        )

    async def _perform(  # noqa: C901 - one case per action
        self, action: Action, uid: str, tracked: Tracked, order: OrderResource
    ) -> None:
        client = self._connection.client
        match action:
            case Describe():
                tracked.learn(await describe_order(client, order), asked=True)
            case DescribeOther(identifier):
                await self._describe_other(identifier, tracked, order)
            case Confirm():
                await self._confirm(tracked, order)
            case Start(order_class, parsed):
                await self._start(tracked, order_input(order, parsed.spec, order_class, self._settings.cluster))
            case TakeOver(run):
                taken = await take_over(client, run)
                tracked.learn(taken, asked=True)
                in_vain = taken.run_id == run.run_id and is_abandoned(taken)
                tracked.takeover_problem = NOT_TAKEN_OVER if in_vain else None
            case Send(run, changes, all_wanted):
                self.amender.send(run, changes, all_wanted)
            case Cancel(run):
                self._tell(tracked, run, found=await request_cancel(client, run))
            case Release(run):
                self._tell(tracked, run, found=await mark_orphaned(client, run))
            case SetFinalizer(present):
                tracked.resource = order.with_version(await self._api.set_finalizer(order, present=present))
                self._budget.wrote()
            case WriteStatus(status):
                await self._write_status(tracked, order, status)
            case Finish():
                await self._finish(uid, tracked, order)
            case Wait() | Forget():
                raise AssertionError(action)
            case _:
                assert_never(action)

    async def _describe_other(self, identifier: str, tracked: Tracked, order: OrderResource) -> None:
        key = parse_workflow_id(identifier)
        assert key is not None
        run = await describe(self._connection.client, key, identifier)
        if run is None or not (run.running or is_abandoned(run)):
            self._open_runs.ended(identifier)
        elif run.key.uid == order.uid:
            logger.info("adopted a workflow", extra={"order": order.reference, "workflow_id": identifier})
            tracked.learn(run, asked=True)
            self._adopted(key.uid, run)
        else:
            first = self._tracked.get(key.uid)
            told = first is not None and first.told == run.run_id
            tracked.predecessor = Predecessor.of(run, first.resource if first else None, told=told)

    async def _start(self, tracked: Tracked, wanted: OrderInput) -> None:
        try:
            started = await ensure_started(self._connection, wanted, self._settings.task_queue)
        except RPCError as failed:
            problem = self._connection.problem_of(failed)
            if not problem.stalled:
                raise
            tracked.refused = problem
            return
        if tracked.exists:
            # Not a young order: its run may be one that was there, and the scanner has no news of it.
            identity = wanted.identity
            key = RunKey(identity.namespace, identity.name, identity.uid)
            started = await describe(self._connection.client, key, started.workflow_id) or started
        # The scanner may have been quicker, and knows more.
        known = tracked.observation
        tracked.learn(known if known and not known.precedes(started) else started, asked=True)

    async def _confirm(self, tracked: Tracked, order: OrderResource) -> None:
        try:
            body = await self._api.get(ORDERS, order.namespace, order.name)
        except NotFound:
            tracked.gone = True
            return
        found = OrderResource.from_body(body)
        tracked.gone = found.uid != order.uid
        tracked.exists = not tracked.gone
        newer = int(found.resource_version) > int(order.resource_version)
        if tracked.exists and (newer or tracked.outlined):
            tracked.resource = found

    def _tell(self, tracked: Tracked, run: Observation, *, found: bool) -> None:
        if found:
            tracked.told, tracked.asked = run.run_id, False
        else:
            tracked.doubt()

    async def _write_status(self, tracked: Tracked, order: OrderResource, status: Mapping[str, Any]) -> None:
        about, before = occasion(status), occasion(order.status)
        try:
            written = await self._api.write_status(order, status)
        except ApiRefused as refused:
            if refused.for_content:
                self._background.spawn(announce_refusal(self._api, order, str(refused), self._settings.identity))
            raise
        tracked.wrote(order.with_version(written))
        self._budget.wrote()
        tracked.phase = Phase(status["phase"])
        if about and about != before:
            self._background.spawn(announce(self._api, order, status, _note(status), self._settings.identity))

    async def _finish(self, uid: str, tracked: Tracked, order: OrderResource) -> None:
        if order.held:
            order = order.with_version(await self._api.set_finalizer(order, present=False))
        tracked.finish(order)
        self.amender.forget(uid)

    def _forget(self, uid: str) -> None:
        tracked = self._tracked.pop(uid, None)
        self.amender.forget(uid)
        if tracked is None:
            return
        run = tracked.observation
        if run is not None and run.running and run.key.uid == uid:
            # Until it has ended, so that no inventory takes it for an orphan that nobody has told.
            self._tracked[uid] = Tracked(observation=run, told=tracked.told)
            return
        known = tracked.resource
        if run is not None:
            self._scanner.forget(run.workflow_id)
        elif known is not None:
            self._scanner.forget(workflow_id(known.namespace, known.name, uid))


def _note(status: Mapping[str, Any]) -> str:
    pending = status.get("pendingAction") or {}
    error = status.get("lastError") or {}
    return str(pending.get("message") or error.get("message") or status.get("orderStatus") or "")
