"""Valid values of the models that tests speak of most; keywords override single fields, by their Python names."""

from datetime import UTC, datetime

from temporalio.client import WorkflowExecutionStatus

from order_domain.judgement import judge
from order_domain.order import Address, OrderLine, OrderSpec
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec
from order_domain.snapshot import OrderSnapshot
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource
from order_workflows.contract import REVISION, OrderInput, ResourceIdentity, RunKey, workflow_id

NAMESPACE = "shop"
NAME = "order-1"
UID = "7f0c6a52-0c38-4a4e-9f0e-0d6f0f6f3b11"

STANDARD_PIPELINE = [
    StepName.RECEIVE,
    StepName.VALIDATE,
    StepName.CHECK_FRAUD,
    StepName.RESERVE_STOCK,
    StepName.APPROVAL,
    StepName.CHARGE_PAYMENT,
    StepName.SHIP,
    StepName.NOTIFY,
]
"""That of manifests/classes/standard.yaml."""


def an_address(**changes: object) -> Address:
    """In the United States."""
    fields = {"name": "Ana Roe", "line1": "12 Main Street", "city": "Springfield", "postal_code": "12345"}
    return judge(Address, {**fields, "country": "US", **changes})


def a_line(**changes: object) -> OrderLine:
    """One piece for 500.00."""
    fields = {"line_id": "1", "sku": "PROD-001", "quantity": 1, "unit_price_minor": 50_000}
    return judge(OrderLine, {**fields, **changes})


def an_order_spec(**changes: object) -> OrderSpec:
    """One line for 500.00 USD, confirmed by mail."""
    fields = {
        "customer": {"id": "CUST-1", "email": "ana@example.com"},
        "currency": "USD",
        "lines": [a_line()],
        "shipping_address": an_address(),
        "payment": {"method": "tok_visa"},
    }
    return judge(OrderSpec, {**fields, **changes})


def a_policy(**changes: object) -> OrderClassSpec:
    """All steps, approval above 1000.00 USD: the class `standard`."""
    approval = {"mode": "Threshold", "threshold_minor": 100_000, "currency": "USD", "window_seconds": 300}
    return judge(OrderClassSpec, {"pipeline": STANDARD_PIPELINE, "approval": approval, **changes})


def an_order_input(*, uid: str = UID, name: str = NAME, **changes: object) -> OrderInput:
    """Of generation 1, following `a_policy()`."""
    fields = {
        "identity": ResourceIdentity(cluster="test", namespace=NAMESPACE, name=name, uid=uid),
        "spec": an_order_spec(),
        "class_name": "standard",
        "class_generation": 1,
        "policy": a_policy(),
        "generation": 1,
        "revision": REVISION,
    }
    return judge(OrderInput, {**fields, **changes})


def an_order_body(**changes: object) -> dict[str, object]:
    """The JSON of an Order as the API server delivers it; `changes` are `spec`, `status` or fields of the metadata."""
    spec = changes.pop("spec", None) or an_order_spec().model_dump(mode="json", exclude_none=True)
    status = changes.pop("status", {})
    metadata = {"namespace": NAMESPACE, "name": NAME, "uid": UID, "generation": 1, "resourceVersion": "100"}
    metadata["creationTimestamp"] = "2026-01-02T03:04:00Z"
    return {"metadata": {**metadata, **changes}, "spec": spec, "status": status}


def an_order_resource(**changes: object) -> OrderResource:
    """An Order without a status."""
    return OrderResource.from_body(an_order_body(**changes))


def a_snapshot(**changes: object) -> OrderSnapshot:
    """Of an order that was just received."""
    fields = {
        "seq": 1,
        "class_name": "standard",
        "class_generation": 1,
        "total_minor": 50_000,
        "shipping_address": an_address(),
        "updated_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }
    return OrderSnapshot.model_validate({**fields, **changes})


def an_observation(**changes: object) -> Observation:
    """Of a running workflow that has published `a_snapshot()`."""
    key = RunKey(NAMESPACE, NAME, UID)
    fields: dict[str, object] = {
        "key": key,
        "workflow_id": workflow_id(*key),
        "run_id": "run-1",
        "status": WorkflowExecutionStatus.RUNNING,
        "task_queue": "orders",
        "start_time": datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC),
        "snapshot": a_snapshot(),
    }
    return Observation(**{**fields, **changes})  # type: ignore[arg-type]
