"""What becomes of orders is counted once, when a status shows it first."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import NAMESPACE, an_order_resource
from prometheus_client import REGISTRY

from order_domain.status import Phase
from order_operator import metrics
from order_operator.orders.tally import count, fault_of

STEPS = [
    {
        "name": "ReserveStock",
        "state": "Succeeded",
        "startedAt": "2026-01-02T03:04:01Z",
        "finishedAt": "2026-01-02T03:04:03Z",
    },
    {
        "name": "ChargePayment",
        "state": "Failed",
        "attempts": 3,
        "startedAt": "2026-01-02T03:04:03Z",
        "finishedAt": "2026-01-02T03:04:04Z",
    },
    {"name": "Ship", "state": "Skipped"},
]


def a_status(phase: str, **more: object) -> dict[str, Any]:
    return {"phase": phase, "workflow": {"id": "order/shop/order-1/uid"}, **more}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def since() -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
    metrics.watching(NAMESPACE)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
    }


def rise(since: Mapping[Any, float], name: str, **labels: str) -> float:
    return counted(name, **labels) - since.get((name, tuple(sorted(labels.items()))), 0.0)


def test_an_order_counts_as_started_when_its_status_first_names_a_workflow(since: Mapping[Any, float]) -> None:
    count(an_order_resource(), a_status("Running"), Phase.PENDING)
    count(an_order_resource(status=a_status("Running")), a_status("Waiting"), Phase.RUNNING)
    count(an_order_resource(status=a_status("Running")), a_status("Waiting"), Phase.PENDING)  # by the next leader

    assert rise(since, "orders_started_total", order_namespace=NAMESPACE) == 1


def test_an_order_counts_as_finished_once_whoever_writes_its_status_again(since: Mapping[Any, float]) -> None:
    ended = a_status("Completed", completionTime="2026-01-02T03:04:10Z")
    labels = {"order_namespace": NAMESPACE, "outcome": "Completed", "fault": "none"}

    count(an_order_resource(status=a_status("Running")), ended, Phase.RUNNING)
    count(an_order_resource(status=ended), ended, Phase.PENDING)  # after a restart
    count(an_order_resource(), ended, Phase.COMPLETED)  # somebody has wiped it

    assert rise(since, "orders_finished_total", **labels) == 1
    assert rise(since, "orders_lead_time_seconds_count", outcome="Completed") == 1
    assert rise(since, "orders_lead_time_seconds_sum", outcome="Completed") == 10


def test_a_declined_payment_is_the_business_no_and_anything_unknown_is_the_platforms_fault() -> None:
    faults = [fault_of({"lastError": {"type": name}}, Phase.FAILED) for name in ("PaymentDeclined", "OutOfStock")]

    assert faults == ["business", "business"]
    assert fault_of({"lastError": {"type": "BooksDisagree"}}, Phase.FAILED) == "platform"
    assert fault_of({}, Phase.FAILED) == "platform"
    assert fault_of({"lastError": {"type": "Rejected"}}, Phase.REJECTED) == "none"


def test_a_step_is_measured_once_it_has_ended_and_its_retries_as_they_are_shown(since: Mapping[Any, float]) -> None:
    retried = {**STEPS[1], "state": "Running", "attempts": 2, "finishedAt": None}
    before = a_status("Running", steps=[STEPS[0], retried])

    count(an_order_resource(status=a_status("Running")), before, Phase.RUNNING)
    count(an_order_resource(status=before), a_status("Compensating", steps=STEPS), Phase.RUNNING)

    assert rise(since, "orders_step_duration_seconds_count", step="ReserveStock", outcome="Succeeded") == 1
    assert rise(since, "orders_step_duration_seconds_sum", step="ReserveStock", outcome="Succeeded") == 2
    assert rise(since, "orders_step_duration_seconds_count", step="ChargePayment", outcome="Failed") == 1
    assert rise(since, "orders_step_duration_seconds_count", step="Ship", outcome="Succeeded") == 0
    assert rise(since, "orders_step_retries_total", step="ChargePayment") == 2


@pytest.mark.parametrize(("state", "outcome"), [("Compensated", "done"), ("CompensationFailed", "failed")])
def test_what_was_undone_or_could_not_be_is_counted_by_step(
    since: Mapping[Any, float], state: str, outcome: str
) -> None:
    undone = a_status("Compensating", steps=[{**STEPS[0], "state": state}])

    count(an_order_resource(status=a_status("Compensating", steps=STEPS)), undone, Phase.COMPENSATING)
    count(an_order_resource(status=undone), undone, Phase.COMPENSATING)

    assert rise(since, "orders_compensations_total", step="ReserveStock", outcome=outcome) == 1
    assert rise(since, "orders_step_duration_seconds_count", step="ReserveStock", outcome="Succeeded") == 0


def test_the_wait_for_a_decision_is_measured_from_the_beginning_of_its_step(since: Mapping[Any, float]) -> None:
    steps = [{"name": "Approval", "state": "Succeeded", "startedAt": "2026-01-02T03:00:00Z"}]
    approval = {"required": True, "decision": "Approved", "at": "2026-01-02T03:10:00Z", "via": "kubernetes"}
    decided = a_status("Running", steps=steps, approval={**approval, "proof": "Claimed"})

    count(an_order_resource(status=a_status("Waiting", steps=steps)), decided, Phase.WAITING)
    count(an_order_resource(status=decided), decided, Phase.RUNNING)

    assert rise(since, "orders_approval_wait_seconds_count", decision="Approved") == 1
    assert rise(since, "orders_approval_wait_seconds_sum", decision="Approved") == 600


def test_all_that_is_counted_of_an_order_is_there_at_zero_before_the_first(since: Mapping[Any, float]) -> None:
    series = set(since)
    steps = [{**step, "state": "CompensationFailed"} for step in STEPS]
    ended = a_status("Failed", steps=steps, completionTime=f"{datetime(2026, 1, 3, tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}")

    count(an_order_resource(), ended, Phase.PENDING)

    now = {(each.name, tuple(sorted(each.labels.items()))) for f in REGISTRY.collect() for each in f.samples}
    assert {name for name, _ in now - series if name.startswith("orders_")} == set()
