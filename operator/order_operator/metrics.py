"""Every metric of the operator. Names end in a unit or `_total`; no label carries an order, customer or article."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from itertools import product

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

# A second series per counter that nobody charts.
disable_created_metrics()  # type: ignore[no-untyped-call]

BUILD_INFO = Gauge("orders_operator_build_info", "What runs; always 1.", ["version", "python", "temporalio", "kopf"])
ACTIVE = Gauge("orders_operator_active", "1 while this process leads and serves, 0 while it stands by.")
RECONCILES = Counter("orders_operator_reconcile", "Reconciliations by outcome: ok, retry, error.", ["result"])
RECONCILE_SECONDS = Histogram(
    "orders_operator_reconcile_duration_seconds",
    "Duration of one reconciliation.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
INFLIGHT = Gauge("orders_operator_inflight_reconciles", "Reconciliations running now.")
QUEUE_DEPTH = Gauge("orders_operator_queue_depth", "Resources waiting for a reconciliation.")
KUBERNETES_REQUESTS = Counter(
    "orders_operator_k8s_requests", "Requests to the API server beside the watches.", ["verb", "resource", "code"]
)
TEMPORAL_REACHABLE = Gauge("orders_operator_temporal_reachable", "1 while Temporal answers and is set up for orders.")
SCANS = Counter("orders_operator_scans", "Visibility scans by kind and outcome.", ["kind", "result"])
WATCH_FAILURES = Counter(
    "orders_operator_watch_failures",
    "Watches that ended and were started again, by what they watch: a namespace, `orders` in all, or `classes`.",
    ["watch"],
)
EVENTS_LEFT_OUT = Counter(
    "orders_operator_events_left_out", "Kubernetes Events that were not posted, since too many were within a minute."
)
UNDECODABLE_ROWS = Counter(
    "orders_operator_undecodable_rows", "Workflows listed by Temporal that could not be read; each harms no other."
)
STATUS_LAG_SECONDS = Histogram(
    "orders_operator_status_sync_lag_seconds",
    "From a change in an order's workflow to the Order's status showing it.",
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300),
)
UNOBSERVED = Gauge(
    "orders_unobserved",
    "Orders and StockItems that the watch has not brought for a minute, by an independent list.",
    ["order_namespace"],
)
ORPHANS = Gauge(
    "orders_orphans",
    "Open workflows of this installation whose Order is gone, not told to go on without it.",
)
ORPHAN_BRAKE = Gauge(
    "orders_orphan_brake", "1 while so many workflows look orphaned that none is cancelled until a person has looked."
)
ORPHANS_CANCELLED = Counter(
    "orders_orphans_cancelled",
    "Running workflows cancelled because their Order, gone without deletionPolicy Orphan, or their StockItem is gone.",
)
TAKEN_OVER = Counter(
    "orders_taken_over",
    "Orders whose workflow somebody terminated, or that timed out, and that its next run brings to an end.",
)
POLICY_ENFORCED = Gauge(
    "orders_policy_enforced",
    "1 while the admission policy that proves deciders' names is in force wherever decisions were awaited of late; "
    "0 where it is not, or cannot be read.",
)
DECISIONS = Counter(
    "orders_approval_decisions",
    "Decisions about orders, by what was decided, the way it came (kubernetes, temporal, signal; policy: no person) "
    "and how far the decider's name is proven (Policy, Claimed; none: no person).",
    ["decision", "channel", "proof"],
)
for _labels in (
    *product(("Approved", "Rejected"), ("kubernetes",), ("Policy", "Claimed")),
    *product(("Approved", "Rejected"), ("temporal", "signal"), ("Claimed",)),
    *product(("Approved", "Expired"), ("policy",), ("none",)),
):
    DECISIONS.labels(*_labels)
EXPIRED = Counter(
    "orders_operator_orders_expired",
    "Finished Orders deleted, by reason: ttl (their time had come), history_limit (too many of their class).",
    ["reason"],
)


class CurrentOrders(Collector):
    """`orders_current`, counted when scraped from what `orders` yields: (namespace, OrderStatus)."""

    def __init__(self, orders: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._orders = orders

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample per namespace and status that has orders."""
        family = GaugeMetricFamily(
            "orders_current", "Orders by namespace and OrderStatus.", labels=["order_namespace", "status"]
        )
        for labels, count in Tally(self._orders()).items():
            family.add_metric(list(labels), count)
        yield family
