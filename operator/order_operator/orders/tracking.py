"""What the operator remembers of orders between two reconciliations; all of it may be lost at any time."""

import hashlib
import marshal
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from order_domain.order import DeletionPolicy
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus, Phase
from order_operator import backoff, metrics
from order_operator.cluster.conditions import ConditionType
from order_operator.figures import PENDING, OrderFigure
from order_operator.orders.adoption import Predecessor
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import PendingWork
from order_operator.orders.resource import OrderResource
from order_operator.orders.takeover import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS
from order_operator.problem import Problem
from order_operator.temporal.cancellation import TOLD_AGAIN_SECONDS

MISMATCH_SECONDS = 60.0
"""A status that shows another OrderStatus than the workflow for so long is wrong, and not only late."""

ROWS_LAG_SECONDS = 10.0
"""A row of visibility that shows less than was known so long before is not a late one: Temporal may have gone back."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What is kept in mind of an order to which nothing is left to do: enough to tell when it is to be deleted."""

    fingerprint: bytes
    """Of everything that only the operator should change from then on."""
    at: float
    """When it finished, in seconds since the epoch; infinite if its status does not say."""
    class_name: str | None
    ttl_seconds: int | None
    """As the order's own spec says."""

    @classmethod
    def of(cls, order: OrderResource) -> "Finished":
        """`order`: with its last status."""
        name = order.status.get("className") or order.spec.get("className")
        conditions = order.status.get("conditions") or []
        shown = {item["type"]: item["lastTransitionTime"] for item in conditions if item["status"] == "True"}
        end = shown.get(ConditionType.FINISHED) and (
            order.status.get("completionTime") or shown[ConditionType.FINISHED]
        )
        return cls(
            fingerprint=fingerprint(order),
            at=_seconds(end) if end else math.inf,
            class_name=sys.intern(name) if name else None,  # ten thousand orders, a handful of classes
            ttl_seconds=order.spec.get("ttlSecondsAfterFinished"),
        )


def _seconds(instant: str) -> float:
    try:
        return datetime.fromisoformat(instant).timestamp()
    except ValueError:
        return math.inf  # Kubernetes takes the year 0, Python does not


class Told(NamedTuple):
    """What a run has heard of its resource's deletion."""

    run_id: str
    policy: DeletionPolicy
    """It may change while the deletion waits."""
    at: float
    """Monotonic time."""


@dataclass(slots=True)
class Look:
    """What was asked in one reconciliation, and answered. The next one asks anew."""

    exists: bool = False
    """The API server was asked, and has the resource."""
    asked: bool = False
    """Temporal itself was asked for the order's run."""
    predecessor: Predecessor | None = None
    """What Temporal told of an open workflow under the same name: of several, of that which concerns the order most."""
    asked_others: set[str] = field(default_factory=set)
    """Ids of the open workflows under the same name that Temporal was asked about."""
    refused: Problem | None = None
    """Why Temporal refused to start the workflow."""
    unguarded: bool = False
    """The API server refused our finalizer."""
    since: float = field(default_factory=time.monotonic)
    """Monotonic time at which it began."""


@dataclass(slots=True)
class Tracked:
    """What is known of one order, under its uid."""

    resource: OrderResource | None = None
    """None while only its workflow has been seen."""
    observation: Observation | None = None
    gone: bool = False
    """The resource was deleted; its workflow may still have to be told."""
    doubted: bool = False
    """Something says that the observation, or its absence, may be wrong."""
    told: Told | None = None
    """Which run was told that its resource is being deleted, or is gone, and what that means."""
    takeover_problem: Problem | None = None
    """Why the present run could not be taken over."""
    takeover_failures: int = 0
    """In a row, of the present run."""
    takeover_again_at: float = -math.inf
    """Monotonic time from which it is tried again."""
    look: Look | None = None
    """The reconciliation under way."""
    work: PendingWork | None = None
    """What the present step waits for, if that has been asked since it was published."""
    conflicts: int = 0
    """In a row: writes that met a newer version."""
    failed_calls: int = 0
    """In a row: looks at the order in which Temporal refused a call or did not answer it."""
    written_at: float = -math.inf
    """Monotonic time of the last status write."""
    status_seen_at: float = -math.inf
    """Monotonic time at which the workflow's present OrderStatus was seen first."""
    finished: Finished | None = None
    """Set for a finished order to which nothing is left to do; its snapshot, and all but an outline of its resource,
    are dropped."""
    phase: Phase = Phase.PENDING
    """As shown last."""
    known_since: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When this process first heard of the order."""
    asked: bool = False
    """Temporal itself was asked for the present observation."""
    learned_at: float = -math.inf
    """Monotonic time at which that was taken in."""
    measured_seq: int = 0
    """Newest published change whose way into the status was measured."""

    @property
    def outlined(self) -> bool:
        """The resource was finished with, and has no spec any more by which anything could be decided."""
        return self.resource is not None and not self.resource.spec

    @property
    def may_have_run(self) -> bool:
        """Whether a workflow may be under way, as far as is known here."""
        if self.finished is not None or self.resource is None:
            return False
        if self.observation is not None:
            return self.observation.running
        return self.resource.names_workflow and not self.resource.ended

    def has_told(self, run: Observation) -> bool:
        """Whether this run was told that its resource goes, whatever that was to mean."""
        return self.told is not None and self.told.run_id == run.run_id

    def is_heard(self, run: Observation, policy: DeletionPolicy) -> bool:
        """Whether this run was told so with this policy, and need not be told again yet."""
        if self.told is None or self.told[:2] != (run.run_id, policy):
            return False
        return run.is_undoing or run.orphaned or time.monotonic() - self.told.at < TOLD_AGAIN_SECONDS

    def doubt(self) -> None:
        """Temporal has to be asked before anything is done."""
        self.doubted = True
        if self.look is not None:
            self.look.asked = False

    def is_doubted_by(self, row: Observation) -> bool:
        """Whether `row` shows an open run as it was before what is known of it, though there was time to show more: a
        Temporal that was restored, or failed over by force, has forgotten what came since."""
        known = self.observation
        lags = time.monotonic() - self.learned_at < ROWS_LAG_SECONDS
        return known is not None and row.running and row.precedes(known) and not lags

    def has_gone_back(self, answer: Observation | None) -> bool:
        """Whether Temporal itself, asked now, no longer knows what the run had published. What the run was told since
        is forgotten, too."""
        known = self.observation
        if answer is None or known is None or answer.run_id != known.run_id:
            return False
        return answer.precedes(known)

    def learn(self, observation: Observation | None, *, asked: bool) -> bool:
        """Take in what visibility shows, or, `asked`, what Temporal itself answered. Whether it is news."""
        if asked:
            self.doubted = False
            if self.look is not None:
                self.look.asked = True
        elif observation is not None and self.observation is not None and observation.precedes(self.observation):
            return False
        if _run_id(observation) != _run_id(self.observation):
            self.takeover_problem, self.takeover_failures = None, 0
        if _order_status(observation) != _order_status(self.observation):
            self.status_seen_at = time.monotonic()
        if observation is None or self.observation is None or observation.seq != self.observation.seq:
            self.work = None
        self.observation, self.asked, self.learned_at = self._as_far(observation), asked, time.monotonic()
        return True

    def _as_far(self, observation: Observation | None) -> Observation | None:
        """With the progress that its run had shown before."""
        known = self.observation
        if observation is None or known is None or observation.run_id != known.run_id:
            return observation
        seen, before = observation.snapshot, known.snapshot
        if seen is None or before is None or seen.progress >= before.progress:
            return observation
        return replace(observation, snapshot=seen.model_copy(update={"progress": before.progress}))

    def not_taken_over(self, problem: Problem) -> None:
        """The present run could not be taken over. What was in the way may go, so that it is tried again."""
        self.takeover_problem = problem
        self.takeover_failures += 1
        pause = backoff.growing(self.takeover_failures, LONGEST_RETRY_SECONDS, first=FIRST_RETRY_SECONDS)
        self.takeover_again_at = time.monotonic() + pause

    def finish(self, order: OrderResource) -> None:
        """Keep only what tells when it is to be deleted, and whether somebody changes it."""
        self.phase = Phase(order.status["phase"])
        self.finished = Finished.of(order)
        self.resource = outline(order)
        self.observation = self.work = None

    def measure_lag(self) -> None:
        """Observe how long the newest change took from the workflow into the status, once per change."""
        snapshot = self.observation.snapshot if self.observation else None
        if snapshot is None or snapshot.updated_at is None or snapshot.seq <= self.measured_seq:
            return
        self.measured_seq = snapshot.seq
        seconds = max(0.0, (datetime.now(UTC) - snapshot.updated_at).total_seconds())
        source = "startup" if snapshot.updated_at < self.known_since else "asked" if self.asked else "scan"
        metrics.STATUS_LAG_SECONDS.labels(source).observe(seconds)

    def take(self, order: OrderResource) -> None:
        """What the API server answered. The answer may be late, and the watch have brought a newer version."""
        if self.resource is None or self.resource.version < order.version:
            self.resource = order

    def wrote(self, order: OrderResource) -> None:
        """A status was written; `order` is what the API server answered."""
        self.written_at, self.conflicts = time.monotonic(), 0
        self.take(order)
        self.measure_lag()


def _run_id(observation: Observation | None) -> str | None:
    return observation.run_id if observation is not None else None


def _order_status(observation: Observation | None) -> OrderStatus | None:
    return observation.snapshot.status if observation is not None and observation.snapshot is not None else None


def _since(order: OrderResource, snapshot: OrderSnapshot | None) -> datetime:
    """When the order came to where it stands: its present step began, or its workflow last said something."""
    if snapshot is None:
        return order.created
    current = snapshot.current_step
    began = next((step.started_at for step in reversed(snapshot.steps) if step.name is current), None)
    return began or snapshot.updated_at or order.created


class TrackedOrders(dict[str, Tracked]):
    """By uid."""

    _open = ""
    """Uid of one that was open when it was looked for last: it mostly is still, and is asked for twice a second."""

    def any_is_open(self) -> bool:
        """Whether there is an order, or a workflow, to which something is left to do."""
        known = self.get(self._open)
        if known is None or known.finished is not None:
            self._open = next((uid for uid, tracked in self.items() if tracked.finished is None), "")
        return bool(self._open)

    def figures(self, now: datetime) -> Iterator[OrderFigure]:
        """Every order, for the gauges."""
        seconds, clock = now.timestamp(), time.monotonic()
        for tracked in self.values():
            order = tracked.resource
            if order is None or tracked.gone:
                continue
            status = str(order.status.get("orderStatus") or PENDING)
            if tracked.finished is not None or order.ended:
                yield OrderFigure(order.namespace, status)
                continue
            snapshot = tracked.observation.snapshot if tracked.observation is not None else None
            action = snapshot.pending_action if snapshot is not None else None
            yield OrderFigure(
                order.namespace,
                status,
                age=max(0.0, seconds - _since(order, snapshot).timestamp()),
                overdue=action is not None and action.deadline is not None and action.deadline < now,
                suspended=snapshot is not None and snapshot.suspended,
                mismatched=snapshot is not None
                and snapshot.status != status
                and clock - tracked.status_seen_at > MISMATCH_SECONDS,
            )

    def namespace_of(self, uid: str) -> str:
        """Empty of an order that is not known."""
        tracked = self.get(uid)
        return tracked.resource.namespace if tracked is not None and tracked.resource is not None else ""

    def finished(self) -> Iterator[tuple[OrderResource, Finished]]:
        """The orders to which nothing is left to do."""
        for tracked in self.values():
            if tracked.finished is not None and tracked.resource is not None and not tracked.gone:
                yield tracked.resource, tracked.finished

    def names_without_run(self) -> set[tuple[str, str]]:
        """Namespaces and names of the orders whose workflow has not been seen yet."""
        orders = (item.resource for item in self.values() if item.observation is None and item.finished is None)
        return {(order.namespace, order.name) for order in orders if order is not None}

    def put(self, order: OrderResource) -> bool:
        """Take in a version of an Order; whether it is to be looked at."""
        tracked = self.get(order.uid)
        if tracked is None:
            tracked = self[order.uid] = Tracked()
            if _rests(order):
                # At the start there may be a hundred thousand: none is kept whole until its turn comes.
                tracked.finish(order)
                return False
        known = tracked.resource
        if known is not None and order.version <= known.version:
            return False
        if tracked.finished is not None:
            if tracked.finished.fingerprint == fingerprint(order):
                # A label, say. Its version counts: for the inventory, and for a deletion that names it.
                tracked.resource = outline(order)
                return False
            tracked.finished = None
            tracked.doubt()
        tracked.resource = order
        return True


def _rests(order: OrderResource) -> bool:
    """Whether there is nothing to do, as far as the resource alone can say."""
    return order.ended and order.observed and not order.held and not order.deleting


def outline(order: OrderResource) -> OrderResource:
    """What is kept of an order to which nothing is left to do. What many orders have alike they share."""
    name = str(order.status.get("orderStatus") or "")
    status: dict[str, Any] = _ENDS.get(name, {"orderStatus": name})
    if order.named_workflow is not None:  # where Temporal is asked before the order is deleted
        status = {**status, "workflow": order.status["workflow"]}
    return replace(order, namespace=sys.intern(order.namespace), spec=_NO_SPEC, status=status)


_NO_SPEC: dict[str, Any] = {}
_ENDS = {status.value: {"orderStatus": status.value} for status in OrderStatus if status.terminal}


MARSHAL_WITHOUT_REFERENCES = 2
"""A version in which equal values have equal bytes."""


def fingerprint(order: OrderResource) -> bytes:
    """Of everything that only the operator should change once an order has ended."""
    parts = [order.generation, order.deleting, order.finalizers, order.status]
    # Six times as fast as JSON, at the start of a hundred thousand. The API server orders the keys of an object.
    return hashlib.blake2b(marshal.dumps(parts, MARSHAL_WITHOUT_REFERENCES), digest_size=16).digest()
