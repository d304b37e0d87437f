"""The worker's metrics: those of the SDK (`temporal_…`) and those of the business (`orders_…`), on one endpoint.

Never labelled by order, customer or SKU: the number of series must not grow with the number of orders.
"""

import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from temporalio.common import MetricMeter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from order_domain.errors import PaymentDeclined
from order_process import logs
from order_process.settings import SettingsError

PAYMENT_DURATION = "orders_payment_duration"

PROVIDER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets for a call to a provider: from a simulated one to the start-to-close timeout of a step."""

WAIT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets for waiting in a task queue; the SDK's own start at 0.1 s and would not show a slow queue early."""


EXECUTION_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets for what the worker or the server itself carries out; the SDK's own have nothing between 0.1 and 0.5 s."""

LIFETIME_SECONDS = (0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0, 7 * 24 * 3600.0)
"""Buckets for whole workflows, which may wait for people; the SDK's own end after ten minutes."""

CREATED_AT_ZERO: dict[str, tuple[dict[str, str], ...]] = {
    "orders_payment_requests": tuple(
        {"operation": operation, "result": result}
        for operation in ("capture", "refund")
        for result in ("ok", "replayed", "declined", "error")
    ),
    "orders_inventory_reservations": tuple(
        {"result": result} for result in ("reserved", "refused", "released", "committed")
    ),
    "orders_supplier_orders": tuple({"result": result} for result in ("placed", "error", "delivered")),
    "orders_notifications": tuple({"kind": "mail", "result": result} for result in ("sent", "error")),
    "orders_activity_attempts_unlogged": tuple({"reason": reason} for reason in ("overflow", "refused", "shutdown")),
    "orders_audit_writes": tuple({"result": result} for result in ("written", "rolled_back")),
}
"""All that these counters can be counted by. A rate over a series that is not there yet misses its first event."""


def runtime(metrics_address: str | None, labels: Mapping[str, str] | None = None) -> Runtime:
    """The SDK's runtime, with a Prometheus endpoint on `host:port` unless that is None. Raises SettingsError if the
    address cannot be listened on. One per process is enough. Every series carries `labels`."""
    metrics = None
    if metrics_address is not None:
        metrics = PrometheusConfig(
            bind_address=metrics_address,
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
            histogram_bucket_overrides={
                PAYMENT_DURATION: PROVIDER_SECONDS,
                "temporal_activity_schedule_to_start_latency": WAIT_SECONDS,
                "temporal_workflow_task_schedule_to_start_latency": WAIT_SECONDS,
                "temporal_activity_execution_latency": EXECUTION_SECONDS,
                "temporal_local_activity_execution_latency": EXECUTION_SECONDS,
                "temporal_activity_succeed_endtoend_latency": EXECUTION_SECONDS,
                "temporal_workflow_task_execution_latency": EXECUTION_SECONDS,
                "temporal_workflow_task_replay_latency": EXECUTION_SECONDS,
                "temporal_request_latency": EXECUTION_SECONDS,
                "temporal_workflow_endtoend_latency": LIFETIME_SECONDS,
            },
        )
    try:
        return Runtime(
            telemetry=TelemetryConfig(
                logging=logs.of_the_sdk(),
                metrics=metrics,
                attach_service_name=False,
                global_tags=dict(labels or {}),
            )
        )
    except ValueError as error:
        raise SettingsError(f"ORDER_WORKER_METRICS_ADDRESS: {error}") from error


@dataclass
class PaymentRequest:
    """A request to the payment step, while it is measured."""

    replayed: bool = False


class Metrics:
    """The business metrics that the worker can vouch for."""

    def __init__(self, meter: MetricMeter) -> None:
        self._build_info = meter.create_gauge("orders_worker_build_info", "What runs; always 1.")
        self._payments = meter.create_counter(
            "orders_payment_requests", "Payment operations by result: ok, replayed, declined or error."
        )
        self._payment_duration = meter.create_histogram_float(
            PAYMENT_DURATION, "Time that the payment provider took to answer.", "seconds"
        )
        self._reservations = meter.create_counter(
            "orders_inventory_reservations",
            "Stock operations by result: reserved, refused, released or committed; repeated attempts count again.",
        )
        self._supplier_orders = meter.create_counter(
            "orders_supplier_orders", "Orders at the supplier by result: placed, error or delivered."
        )
        self._notifications = meter.create_counter(
            "orders_notifications", "Mails to customers by result: sent or error."
        )
        self._captured = meter.create_counter(
            "orders_payment_captured_minor", "Money taken, in minor units of the currency; no replays."
        )
        self._refunded = meter.create_counter(
            "orders_payment_refunded_minor", "Money given back, in minor units of the currency; no replays."
        )
        self._open_intents = meter.create_gauge(
            "orders_money_open_intents",
            "Charges and refunds whose outcome the ledger does not know, by age. Every worker of orders tells the same "
            "number: take the maximum.",
        )
        self._audit_keyed = meter.create_gauge(
            "orders_audit_keyed", "1 if this worker seals the audit trail with a key, 0 if it is a plain hash chain."
        )

        self._unlogged_attempts = meter.create_counter(
            "orders_activity_attempts_unlogged",
            "Attempts of activities that the ledger's log misses, by reason: overflow, refused or shutdown.",
        )
        self._audit_writes = meter.create_counter(
            "orders_audit_writes",
            "Events of the audit trail by what became of their transaction: written, or rolled_back and tried again.",
        )
        self._ledger_connections = meter.create_gauge(
            "orders_ledger_pool_connections",
            "Connections to the ledger by state: used, idle or unopened; together as many as there can be.",
        )
        self._free_workflow_slots = meter.create_gauge(
            "orders_worker_free_workflow_slots",
            "Slots for workflow tasks that neither a task nor a request for one has; the free slots of the other kinds "
            "are in `temporal_worker_task_slots_available`.",
        )
        self._credential_ends = meter.create_gauge(
            "orders_temporal_credential_end_timestamp_seconds",
            "When what is shown to Temporal ends, since the epoch, by credential: certificate, authority or api_key; 0 "
            "where there is none, or it does not say.",
        )
        self._simulated = meter.create_gauge(
            "orders_simulated_providers", "1 for each port behind which a simulated provider touches nothing outside."
        )

    def create_at_zero(self) -> None:
        """What may be counted later is there from the start."""
        for counter in vars(self).values():
            for labels in CREATED_AT_ZERO.get(getattr(counter, "name", ""), ()):
                counter.add(0, labels)

    def build_info(self, version: str, build_id: str, temporalio: str, task_queue: str) -> None:
        """What this worker is."""
        self._build_info.set(
            1,
            {
                "version": version,
                "build_id": build_id,
                "python": platform.python_version(),
                "temporalio": temporalio,
                "task_queue": task_queue,
            },
        )

    def audit_writes(self, result: str, number: int) -> None:
        """So many events of the audit trail ended so."""
        self._audit_writes.add(number, {"result": result})

    def ledger_connections(self, state: str, number: int) -> None:
        """So many connections are in this state."""
        self._ledger_connections.set(number, {"state": state})

    def free_workflow_slots(self, task_queue: str, number: int) -> None:
        """So many slots are free. The labels are those of the SDK's own metrics of slots."""
        self._free_workflow_slots.set(number, {"task_queue": task_queue, "worker_type": "WorkflowWorker"})

    @contextmanager
    def payment_request(self, operation: str) -> Iterator[PaymentRequest]:
        """Counts the operation by how the block ends."""
        request = PaymentRequest()
        result = "error"
        try:
            yield request
            result = "replayed" if request.replayed else "ok"
        except PaymentDeclined:
            result = "declined"
            raise
        finally:
            self._payments.add(1, {"operation": operation, "result": result})

    @contextmanager
    def payment_duration(self, operation: str) -> Iterator[None]:
        """Measures the block, whether it fails or not."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._payment_duration.record(time.perf_counter() - started, {"operation": operation})

    def reservation(self, result: str) -> None:
        """One stock operation ended so."""
        self._reservations.add(1, {"result": result})

    def supplier_order(self, result: str) -> None:
        """The supplier took an order, could not be asked, or has delivered."""
        self._supplier_orders.add(1, {"result": result})

    def captured(self, amount_minor: int, currency: str) -> None:
        """Money was taken now."""
        self._captured.add(amount_minor, {"currency": currency})

    def refunded(self, amount_minor: int, currency: str) -> None:
        """Money was given back now."""
        self._refunded.add(amount_minor, {"currency": currency})

    def open_intents(self, kind: str, age: str, number: int) -> None:
        """So many operations of this kind and age are open in the ledger."""
        self._open_intents.set(number, {"kind": kind, "age": age})

    def audit_keyed(self, keyed: bool) -> None:
        """Whether this worker has a key for the audit trail."""
        self._audit_keyed.set(int(keyed))

    def credential_ends(self, credential: str, at: int) -> None:
        """What is shown to Temporal ends then, in seconds since the epoch."""
        self._credential_ends.set(at, {"credential": credential})

    def notification(self, result: str) -> None:
        """One mail to a customer ended so."""
        self._notifications.add(1, {"kind": "mail", "result": result})

    def attempt_not_logged(self, reason: str) -> None:
        """One attempt is missing in the log of attempts."""
        self._unlogged_attempts.add(1, {"reason": reason})

    def simulated_provider(self, port: str) -> None:
        """This worker's provider of the port is simulated."""
        self._simulated.set(1, {"port": port})
