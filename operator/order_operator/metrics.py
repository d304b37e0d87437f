"""Every metric of the operator. Names end in a unit or `_total`; no label carries an order, customer or article."""

from itertools import product

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from order_domain.pipeline import StepName
from order_domain.snapshot import DecisionOutcome
from order_domain.status import TERMINAL_PHASES

# A second series per counter that nobody charts.
disable_created_metrics()  # type: ignore[no-untyped-call]

BUILD_INFO = Gauge("orders_operator_build_info", "What runs; always 1.", ["version", "python", "temporalio", "kopf"])
ACTIVE = Gauge("orders_operator_active", "1 while this process leads and serves, 0 while it stands by.")
NEIGHBOURS = Gauge(
    "orders_operator_neighbours", "Other installations of the cluster whose operators watch the same namespaces."
)
HANDLERS = ("orders", "stockitems", "orderclasses")
"""Kinds that are reconciled, by their plural."""
RECONCILES = Counter(
    "orders_operator_reconcile",
    "Reconciliations by kind and outcome: ok, retry (it waits for something, and looks again), error.",
    ["handler", "result"],
)
RECONCILE_SECONDS = Histogram(
    "orders_operator_reconcile_duration_seconds",
    "Duration of one reconciliation, by kind.",
    ["handler"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
INFLIGHT = Gauge("orders_operator_inflight_reconciles", "Reconciliations running now, by kind.", ["handler"])
QUEUE_DEPTH = Gauge("orders_operator_queue_depth", "Resources waiting for a reconciliation, by kind.", ["handler"])
for _handler in HANDLERS:
    RECONCILE_SECONDS.labels(_handler)
    INFLIGHT.labels(_handler)
    QUEUE_DEPTH.labels(_handler)
    for _result in ("ok", "retry", "error"):
        RECONCILES.labels(_handler, _result)
KUBERNETES_REQUESTS = Counter(
    "orders_operator_k8s_requests", "Requests to the API server beside the watches.", ["verb", "resource", "code"]
)
TEMPORAL_REACHABLE = Gauge("orders_operator_temporal_reachable", "1 while Temporal answers and is set up for orders.")
TEMPORAL_CREDENTIAL_ENDS = Gauge(
    "orders_temporal_credential_end_timestamp_seconds",
    "When what is shown to Temporal ends, since the epoch, by credential: certificate, authority or api_key; 0 where "
    "there is none, or it does not say.",
    ["credential"],
)
SCANS = Counter("orders_operator_scans", "Visibility scans by kind and outcome.", ["kind", "result"])
for _scan in product(("fast", "sweep", "full"), ("ok", "error")):
    SCANS.labels(*_scan)
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
    "From a change in an order's workflow to the Order's status showing it, by where it was seen: scan (a list of "
    "visibility), asked (Temporal was asked for the one order), startup (it is older than this process's lead).",
    ["source"],
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300),
)
for _source in ("scan", "asked", "startup"):
    STATUS_LAG_SECONDS.labels(_source)
UNOBSERVED = Gauge(
    "orders_unobserved",
    "Orders and StockItems that the watch has not brought for a minute, by an independent list.",
    ["order_namespace"],
)
UNLISTED = Gauge(
    "orders_operator_unlisted",
    "1 for a namespace that could not be listed at the last look: what the watch has missed of it is not known. "
    "`*`: all namespaces together, or the classes.",
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
    "Finished Orders deleted, by reason: ttl (their time to live was over), history_limit (too many of their class).",
    ["reason"],
)
for _reason in ("ttl", "history_limit"):
    EXPIRED.labels(_reason)

# What becomes of orders, counted once, by the process that leads, when a status shows it first (orders/tally.py).

STARTED = Counter("orders_started", "Orders whose workflow was started, by namespace.", ["order_namespace"])
FAULTS = ("none", "business", "platform")
FINISHED = Counter(
    "orders_finished",
    "Orders that came to an end, by namespace, outcome (the final phase) and whose fault it is that one Failed: "
    "business (no stock, a declined payment, no such address, and other proper answers) or platform (anything else); "
    "none for every other outcome.",
    ["order_namespace", "outcome", "fault"],
)
OUTCOMES = tuple(sorted(phase.value for phase in TERMINAL_PHASES))
LEAD_TIME_SECONDS = Histogram(
    "orders_lead_time_seconds",
    "From the creation of an Order to the end of its workflow, by outcome; waiting for people is part of it.",
    ["outcome"],
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600),
)
STEP_SECONDS = Histogram(
    "orders_step_duration_seconds",
    "How long a step of an order took, waiting included, by step and outcome: Succeeded (also if it was undone later) "
    "or Failed. Steps that were skipped are not counted.",
    ["step", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
STEP_RETRIES = Counter(
    "orders_step_retries", "Further attempts at a step after one that failed, as far as statuses show them.", ["step"]
)
APPROVAL_WAIT_SECONDS = Histogram(
    "orders_approval_wait_seconds",
    "How long an order waited for the decision about it, by decision.",
    ["decision"],
    buckets=(1, 10, 60, 300, 900, 1800, 3600, 4 * 3600, 8 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600),
)
COMPENSATIONS = Counter(
    "orders_compensations",
    "Steps that were undone, or could not be, by step and outcome: done, failed.",
    ["step", "outcome"],
)
AMENDMENTS = Counter(
    "orders_amendments",
    "Edits of running orders that the workflow answered, by part of the spec and result: accepted, refused.",
    ["field", "result"],
)
for _outcome in OUTCOMES:
    LEAD_TIME_SECONDS.labels(_outcome)
for _decision in DecisionOutcome:
    APPROVAL_WAIT_SECONDS.labels(_decision.value)
for _step in StepName:
    STEP_RETRIES.labels(_step.value)
    for _outcome in ("Succeeded", "Failed"):
        STEP_SECONDS.labels(_step.value, _outcome)
    for _outcome in ("done", "failed"):
        COMPENSATIONS.labels(_step.value, _outcome)


_watched: set[str] = set()


def watching(namespace: str) -> None:
    """Creates, at 0, what is counted by namespace: a rate over what is not there yet misses its first event."""
    if namespace in _watched:
        return
    _watched.add(namespace)
    UNOBSERVED.labels(namespace)
    STARTED.labels(namespace)
    for outcome, fault in product(OUTCOMES, FAULTS):
        if (fault == "none") != (outcome == "Failed"):
            FINISHED.labels(namespace, outcome, fault)
