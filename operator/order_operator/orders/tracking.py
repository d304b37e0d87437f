"""What the operator remembers of one order between two reconciliations; all of it may be lost at any time."""

import hashlib
import json
import math
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from order_domain.snapshot import OrderSnapshot
from order_domain.status import Phase
from order_operator import metrics
from order_operator.cluster.conditions import ConditionType
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource

PROGRESS_INTERVAL_SECONDS = 5.0
"""Least time between two status writes that show progress only; phases are shown at once. Most orders end sooner."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What is kept in mind of an order to which nothing is left to do: enough to tell when it is to be deleted."""

    fingerprint: str
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
            at=datetime.fromisoformat(end).timestamp() if end else math.inf,
            class_name=sys.intern(name) if name else None,  # ten thousand orders, a handful of classes
            ttl_seconds=order.spec.get("ttlSecondsAfterFinished"),
        )


@dataclass
class Tracked:
    """What is known of one order, under its uid."""

    resource: OrderResource | None = None
    """None while only its workflow has been seen."""
    observation: Observation | None = None
    gone: bool = False
    """The resource was deleted; its workflow may still have to be told."""
    written_at: float = 0.0
    """Monotonic time of the last status write."""
    settled: Finished | None = None
    """Set for a finished order to which nothing is left to do; its spec, status and snapshot are dropped."""
    phase: Phase = Phase.PENDING
    doubted: bool = False
    """Somebody else changed the status of a settled order: ask its workflow again."""
    measured_seq: int = 0
    """Newest published change whose way into the status was measured."""

    def measure_lag(self) -> None:
        """Observe how long the newest change took from the workflow into the status, once per change."""
        snapshot = self.observation.snapshot if self.observation else None
        if snapshot is None or snapshot.updated_at is None or snapshot.seq <= self.measured_seq:
            return
        self.measured_seq = snapshot.seq
        metrics.STATUS_LAG_SECONDS.observe(max(0.0, (datetime.now(UTC) - snapshot.updated_at).total_seconds()))

    def seconds_until_progress_is_due(self, order: OrderResource) -> float | None:
        """Until progress alone is worth a write again; None if there is more to show than progress."""
        left = self.written_at + PROGRESS_INTERVAL_SECONDS - time.monotonic()
        if self.observation is None or not self.observation.running or left <= 0:
            return None
        snapshot = self.observation.snapshot or OrderSnapshot()
        shown = order.status.get("phase"), order.status.get("observedGeneration")
        same = shown == (snapshot.status.phase, order.generation) and not snapshot.suspended
        return left if same else None


def fingerprint(order: OrderResource) -> str:
    """Of everything that only the operator should change once an order has ended."""
    parts = [order.generation, order.deleting, order.finalizers, order.status]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
