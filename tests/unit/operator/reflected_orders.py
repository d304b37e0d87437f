"""The status that the operator computes for an order, and how its conditions are read."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import a_snapshot, an_observation, an_order_resource, an_order_spec
from temporalio.client import WorkflowExecutionStatus

from order_domain.status import OrderStatus
from order_operator.cluster.conditions import Reason
from order_operator.orders.observation import Observation
from order_operator.orders.reflection import reflect
from order_operator.orders.resource import OrderResource
from order_operator.problem import Problem

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
Status = Mapping[str, Any]


def reflected(
    observation: Observation | None, order: OrderResource | None = None, *, now: datetime = NOW, **more: Any
) -> dict[str, Any]:
    return reflect(order or an_order_resource(), observation, now=now, temporal_namespace="default", **more)


def at(status: OrderStatus, **changes: object) -> Observation:
    """Running, or closed if `status` is an end."""
    failed = status is OrderStatus.ORDER_FAILED
    closed = WorkflowExecutionStatus.FAILED if failed else WorkflowExecutionStatus.COMPLETED
    run = closed if status.terminal else WorkflowExecutionStatus.RUNNING
    return an_observation(status=run, snapshot=a_snapshot(status=status, **changes))


def condition(status: Status, kind: str) -> dict[str, Any]:
    (found,) = [item for item in status["conditions"] if item["type"] == kind]
    return found


def said(status: Status, kind: str) -> tuple[str, str]:
    """Status and reason of one condition."""
    found = condition(status, kind)
    return found["status"], found["reason"]


def kstatus(order: OrderResource, status: Status) -> str:
    """How kstatus reads it, and with it `helm --wait`, Flux and Argo CD (sigs.k8s.io/cli-utils: generic rules)."""
    holds = {item["type"]: item["status"] for item in status["conditions"]}
    if status["observedGeneration"] != order.generation or holds.get("Reconciling") == "True":
        return "InProgress"
    if holds.get("Stalled") == "True":
        return "Failed"
    return "Current" if holds.get("Ready", "True") == "True" else "InProgress"


def edited_spec(**changes: object) -> dict[str, Any]:
    return an_order_spec(**changes).model_dump(mode="json", exclude_none=True)


AWAY = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal cannot be reached")
TOLD = {
    "observedGeneration": 1,
    "phase": "Waiting",
    "orderStatus": "Await Approval",
    "progress": 33,
    "payment": {"capturedMinor": 50_000},
    "workflow": {"id": "order/shop/order-1/u1", "runID": "run-0", "namespace": "default", "taskQueue": "orders"},
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Waiting", "lastTransitionTime": "2026-01-02T03:04:05Z"},
        {"type": "Charged", "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-02T03:04:05Z"},
    ],
}
