"""The heart of the operator: brings one order's workflow and resource into agreement, from what is true now.

Nothing here remembers what happened; every reconciliation starts from the newest resource and the newest observation
and does what is missing. It may therefore die, be repeated or run twice at any point.
"""

import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.service import RPCError

from order_domain.order import DeletionPolicy, OrderSpec
from order_domain.status import TERMINAL_PHASES, Phase
from order_operator import metrics
from order_operator.background import Background
from order_operator.cluster.api import Conflict, KubernetesApi, Listed, NotFound
from order_operator.cluster.api_names import ORDERS
from order_operator.cluster.conditions import Reason
from order_operator.cluster.resource import InvalidSpec
from order_operator.orders.amendment import Amender, Refusal, held_back, plan
from order_operator.orders.classes import OrderClasses
from order_operator.orders.events import ANNOUNCED, announce
from order_operator.orders.observation import Observation, decode, describe
from order_operator.orders.reflection import reflect
from order_operator.orders.resource import OrderResource
from order_operator.orders.submission import ensure_started, order_input
from order_operator.orders.takeover import is_abandoned, take_over
from order_operator.orders.tracking import Finished, Tracked, fingerprint
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.temporal.cancellation import mark_orphaned, request_cancel
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.scanner import Follower, Scanner
from order_operator.work_queue import MAX_BACKOFF_SECONDS, WorkQueue
from order_workflows.contract import WORKFLOW_TYPE, RunKey, input_hash, parse_workflow_id, workflow_id

CONCURRENCY = 50
"""Orders reconciled at once; each waits for at most one answer, so this bounds the calls in flight."""
ANSWER_GRACE_SECONDS = 2.0
"""An edit that is answered and has its effect within this time is shown in one write, with its effect."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Edits:
    """How the edits of a spec stand."""

    problem: Problem | None = None
    refusals: Sequence[Refusal] = ()
    unanswered: float | None = None
    """Seconds since the oldest edit was sent that is neither refused nor effective; None if there is none."""


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
    ) -> None:
        self._api = api
        self._connection = connection
        self._classes = classes
        self._settings = settings
        self._tracked: dict[str, Tracked] = {}
        self._background = Background()
        self._scanner = scanner
        self.queue = WorkQueue(self._reconcile, concurrency=CONCURRENCY)
        self.amender = Amender(connection, answered=self.queue.add)
        scanner.followers[WORKFLOW_TYPE] = Follower(
            observed=self._observed,
            live=lambda: any(item.settled is None for item in self._tracked.values()),
            resynced=self._requeue_unsubmitted,
        )
        connection.on_recovery(self._requeue_unsubmitted)

    def statuses(self) -> Iterable[tuple[str, str]]:
        """Namespace and OrderStatus of every order, for the gauge."""
        for tracked in self._tracked.values():
            if tracked.resource is not None and not tracked.gone:
                yield tracked.resource.namespace, str(tracked.resource.status.get("orderStatus") or "Pending")

    def finished(self) -> Iterator[tuple[OrderResource, Finished]]:
        """The orders to which nothing is left to do, as far as Temporal's side is known."""
        if self._scanner.synced.is_set():
            for tracked in self._tracked.values():
                if tracked.settled is not None and tracked.resource is not None and not tracked.gone:
                    yield tracked.resource, tracked.settled

    def put(self, body: Mapping[str, Any]) -> None:
        """The watch delivered a version of an Order."""
        order = OrderResource.from_body(body)
        tracked = self._tracked.setdefault(order.uid, Tracked())
        known = tracked.resource
        if known is not None and int(order.resource_version) <= int(known.resource_version):
            return
        if tracked.settled is not None:
            if tracked.settled.fingerprint == fingerprint(order):
                # A label, say. Its version counts: for the inventory, and for a deletion that names it.
                tracked.resource = _slim(order)
                return
            tracked.settled, tracked.doubted = None, True
        tracked.resource = order
        self.queue.add(order.uid)

    def remove(self, body: Mapping[str, Any]) -> None:
        """The watch says that an Order is gone."""
        uid = body["metadata"]["uid"]
        tracked = self._tracked.get(uid)
        if tracked is not None:
            if tracked.resource is None:
                tracked.resource = OrderResource.from_body(body)
            tracked.gone = True
            self.queue.add(uid)

    def compare(self, listed: Mapping[str, Listed], version: int) -> list[Listed]:
        """Compare with a list of all orders, made independently of the watch, as of resourceVersion `version`: orders
        that are gone and workflows without an order are dealt with; what the watch has not brought yet is returned."""
        for uid in [uid for uid in self._tracked if uid not in listed]:
            tracked = self._tracked[uid]
            known, observation = tracked.resource, tracked.observation
            if known is not None:
                if int(known.resource_version) <= version:
                    tracked.gone = True
                    self.queue.add(uid)
            elif is_abandoned(observation) and self._settings.watches(observation.key.namespace):
                self._background.spawn(self._take_over_orphan(tracked, observation))
            elif observation is None or not observation.running:
                self._forget(uid)
            elif not observation.orphaned and self._settings.watches(observation.key.namespace):
                self._background.spawn(self._cancel_if_orphan(uid, observation))
        return [item for item in listed.values() if self._is_behind(item)]

    def _is_behind(self, item: Listed) -> bool:
        tracked = self._tracked.get(item.uid)
        known = tracked.resource if tracked else None
        return known is None or int(known.resource_version) < item.resource_version

    def classes_changed(self) -> None:
        """A class came, changed or went: orders that wait for one look again."""
        self._requeue_unsubmitted()

    def _requeue_unsubmitted(self) -> None:
        for uid, tracked in self._tracked.items():
            if tracked.resource is not None and tracked.settled is None and tracked.observation is None:
                self.queue.add(uid)

    async def _observed(self, row: WorkflowExecutionInfo) -> None:
        key = parse_workflow_id(row.execution.workflow_id)
        if key is None:
            return
        observation = await decode(self._connection.client, key, row)
        tracked = self._tracked.setdefault(observation.key.uid, Tracked())
        if tracked.settled is not None:
            snapshot = observation.snapshot
            if snapshot is not None and not observation.running and snapshot.status.phase is tracked.phase:
                return
            tracked.settled, tracked.doubted = None, True
        tracked.observation = observation
        tracked.doubted = tracked.doubted or is_abandoned(observation)
        if tracked.resource is not None:
            self.queue.add(observation.key.uid)

    async def _reconcile(self, uid: str) -> float | None:
        tracked = self._tracked.get(uid)
        if tracked is None or tracked.resource is None:
            return None
        try:
            if tracked.gone:
                return await self._after_deletion(uid, tracked)
            if tracked.settled is not None:
                return None
            if tracked.resource.deleting:
                return await self._delete(tracked, tracked.resource)
            return await self._carry(uid, tracked, tracked.resource)
        except (Conflict, NotFound):
            # The watch brings the newer version and with it this order again; the delay is for a watch that lags.
            return 1.0

    async def _carry(self, uid: str, tracked: Tracked, order: OrderResource) -> float | None:
        if tracked.doubted:
            tracked.observation = await self._ask(order)
            tracked.doubted = False
        if tracked.observation is None and order.ended:
            if not order.observed:
                tracked.observation = await self._ask(order)
            if tracked.observation is None:
                await self._settle(uid, tracked, await self._observe_only(order))
                return None
        if tracked.observation is None and self._connection.problem is None and not self._scanner.synced.is_set():
            return None  # the first full scan knows whether this order already runs; it puts it back into the queue
        problem = await self._submit(tracked, order) if tracked.observation is None else None
        order = tracked.resource or order
        if tracked.observation is not None and tracked.observation.unreadable:
            return None  # an older operator must not guess; the status stays as the newer one wrote it
        early = tracked.seconds_until_progress_is_due(order)
        if early is not None:
            return early
        edits = self._amend(uid, order, tracked.observation) if tracked.observation else Edits(problem)
        if edits.unanswered is not None and edits.unanswered < ANSWER_GRACE_SECONDS:
            return ANSWER_GRACE_SECONDS
        await self._show(uid, tracked, order, self._status(order, tracked.observation, edits))
        passing = edits.problem is not None and not edits.problem.stalled
        if passing or edits.unanswered is not None:
            return MAX_BACKOFF_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
        return None

    def _status(self, order: OrderResource, observation: Observation | None, edits: Edits) -> dict[str, Any]:
        return reflect(
            order,
            observation,
            now=datetime.now(UTC),
            temporal_namespace=self._connection.client.namespace,
            problem=edits.problem,
            refusals=edits.refusals,
            applying=edits.unanswered is not None,
        )

    def _amend(self, uid: str, order: OrderResource, observation: Observation) -> Edits:
        spec, problem = _checked_spec(order, observation)
        if spec is None or observation.snapshot is None or not observation.running:
            return Edits(problem)
        changes = plan(spec, order.generation, uid, observation.snapshot)
        if changes and (self._connection.problem is not None or observation.task_problems):
            return Edits(self._connection.problem, unanswered=ANSWER_GRACE_SECONDS)
        refusals = self.amender.send(observation, changes)
        refusals = [*held_back(spec, observation.snapshot, refusals), *refusals]
        return Edits(problem, refusals, self.amender.pending_seconds(uid))

    async def _ask(self, order: OrderResource) -> Observation | None:
        """What is the case now, not when the scanner looked."""
        key = RunKey(order.namespace, order.name, order.uid)
        observation = await describe(self._connection.client, key, workflow_id(*key))
        return await self._carried(observation) if observation else None

    async def _carried(self, observation: Observation) -> Observation:
        """A workflow that was stopped in the middle gets a next run."""
        return await take_over(self._connection.client, observation) if is_abandoned(observation) else observation

    async def _submit(self, tracked: Tracked, order: OrderResource) -> Problem | None:
        """Sets `tracked.observation`, or tells why not."""
        if self._connection.problem is not None:
            return self._connection.problem
        try:
            spec = order.parse_spec()
        except InvalidSpec as invalid:
            return Problem(Reason.INVALID_SPEC, str(invalid), stalled=True)
        order_class = self._classes.resolve(spec)
        if isinstance(order_class, Problem):
            return order_class
        wanted = order_input(order, order_class, self._settings.cluster)
        try:
            started = await ensure_started(self._connection, wanted, self._settings.task_queue)
            started = await self._carried(started)
        except RPCError as failed:
            return self._connection.problem_of(failed)
        if tracked.observation is None:  # the scanner may have been quicker, and knows more
            tracked.observation = started
        return None

    async def _show(self, uid: str, tracked: Tracked, order: OrderResource, status: Mapping[str, Any]) -> None:
        """Write what changed."""
        phase = Phase(status["phase"])
        before = order.status.get("phase")
        if status != order.status:
            order = await self._hold_or_let_go(order, phase)
            order = order.with_version(await self._api.apply_status(order, status))
            tracked.written_at = time.monotonic()
            tracked.resource = order
            tracked.measure_lag()
            if phase != before and phase in ANNOUNCED:
                self._background.spawn(announce(self._api, order, phase, _note(status), self._settings.identity))
        tracked.phase = phase
        if phase in TERMINAL_PHASES:
            await self._settle(uid, tracked, order)

    async def _hold_or_let_go(self, order: OrderResource, phase: Phase) -> OrderResource:
        """Put our finalizer on an order that outlives its first status, and take it off before the last one.

        Most orders end sooner and never carry it: a finalizer costs two of an order's most expensive writes. Deleting
        one that young cancels its workflow all the same, only that the resource does not wait for the undoing
        (docs/decisions/0007-finalizer-for-orders-that-last.md).
        """
        is_open = phase not in TERMINAL_PHASES and phase is not Phase.PENDING
        lasts = order.held or phase is not Phase.RUNNING or "workflow" in order.status
        wanted = is_open and lasts and order.deletion_policy is DeletionPolicy.CANCEL
        if wanted == order.held:
            return order
        return order.with_version(await self._api.set_finalizer(order, present=wanted))

    async def _settle(self, uid: str, tracked: Tracked, order: OrderResource) -> None:
        """Nothing is left to do: let the resource be deleted without us, and forget its details."""
        if order.held:
            order = order.with_version(await self._api.set_finalizer(order, present=False))
        tracked.phase = Phase(order.status["phase"])
        tracked.settled = Finished.of(order)
        tracked.resource = _slim(order)
        tracked.observation = None
        self.amender.forget(uid)

    async def _observe_only(self, order: OrderResource) -> OrderResource:
        """Take note of an edit of an order that has ended and whose workflow Temporal has forgotten by now. It is not
        started again: what was charged is charged."""
        if order.observed:
            return order
        status = {**order.status, "observedGeneration": order.generation}
        return order.with_version(await self._api.apply_status(order, status))

    async def _delete(self, tracked: Tracked, order: OrderResource) -> float | None:
        """The resource is being deleted: let it go once its workflow has ended, or at once where policy says so."""
        if not order.held:
            return None
        problem = self._connection.problem
        if tracked.observation is not None and tracked.observation.running:
            await self._show_deletion(tracked, order, tracked.observation, problem)
            order = tracked.resource or order
        if problem is not None:
            return MAX_BACKOFF_SECONDS
        observation = tracked.observation
        if observation is None or not observation.running:
            observation = tracked.observation = await self._ask(order)
        if observation is not None and observation.running:
            if order.deletion_policy is DeletionPolicy.ORPHAN:
                await mark_orphaned(self._connection.client, observation)
            else:
                if observation.snapshot is None or observation.snapshot.compensation is None:
                    await request_cancel(self._connection.client, observation)
                return MAX_BACKOFF_SECONDS
        tracked.resource = order.with_version(await self._api.set_finalizer(order, present=False))
        return None

    async def _show_deletion(
        self, tracked: Tracked, order: OrderResource, observation: Observation, problem: Problem | None
    ) -> None:
        """Whoever waits for the deletion sees how far the undoing is, and what holds it up."""
        status = self._status(order, observation, Edits(problem))
        if status != order.status:
            tracked.resource = order.with_version(await self._api.apply_status(order, status))

    async def _after_deletion(self, uid: str, tracked: Tracked) -> float | None:
        """The resource is gone: without our finalizer it took no leave, so its workflow is told now."""
        order = tracked.resource
        assert order is not None
        if tracked.settled is None and tracked.phase not in TERMINAL_PHASES:
            if self._connection.problem is not None:
                return MAX_BACKOFF_SECONDS
            observation = await self._ask(order)
            if observation is not None and observation.running:
                if order.deletion_policy is DeletionPolicy.ORPHAN:
                    await mark_orphaned(self._connection.client, observation)
                else:
                    await request_cancel(self._connection.client, observation)
        self._forget(uid)
        return None

    async def _cancel_if_orphan(self, uid: str, observation: Observation) -> None:
        """A running workflow that no resource was seen for: make sure with the API server before stopping it."""
        try:
            body = await self._api.get(ORDERS, observation.key.namespace, observation.key.name)
            if body["metadata"]["uid"] == uid:
                self.put(body)
                return
        except NotFound:
            pass
        logger.warning("cancelling a workflow without an Order", extra={"workflow_id": observation.workflow_id})
        metrics.ORPHANS_CANCELLED.inc()
        await request_cancel(self._connection.client, observation)

    async def _take_over_orphan(self, tracked: Tracked, observation: Observation) -> None:
        """It makes no difference whether the resource is gone for good or has not been seen yet."""
        tracked.observation = await take_over(self._connection.client, observation)

    def _forget(self, uid: str) -> None:
        tracked = self._tracked.pop(uid, None)
        known = tracked and (tracked.resource or (tracked.observation and tracked.observation.key))
        if known:
            self._scanner.forget(workflow_id(known.namespace, known.name, uid))
        self.amender.forget(uid)


def _slim(order: OrderResource) -> OrderResource:
    """What is kept of an order to which nothing is left to do."""
    return replace(order, spec={}, status={"orderStatus": order.status.get("orderStatus")})


def _checked_spec(order: OrderResource, observation: Observation) -> tuple[OrderSpec | None, Problem | None]:
    try:
        spec = order.parse_spec()
    except InvalidSpec as invalid:
        return None, Problem(Reason.INVALID_SPEC, str(invalid), stalled=True)
    if observation.input_hash is not None and observation.input_hash != input_hash(spec):
        why = "the workflow of this order was started with another spec; it is not touched"
        return None, Problem(Reason.WORKFLOW_MISMATCH, why, stalled=True)
    return spec, None


def _note(status: Mapping[str, Any]) -> str:
    pending = status.get("pendingAction") or {}
    error = status.get("lastError") or {}
    return str(pending.get("message") or error.get("message") or status.get("orderStatus") or "")
