"""What may be known of an order when the operator decides what to do next."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import UID, a_policy, a_snapshot, an_address, an_observation, an_order_resource, an_order_spec
from temporalio.client import WorkflowExecutionStatus

from order_domain.status import OrderStatus
from order_operator.cluster.api_names import FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import (
    Action,
    SetFinalizer,
    WriteStatus,
)
from order_operator.orders.classes import OrderClass
from order_operator.orders.decision import next_action
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource
from order_operator.problem import Problem

NOW = datetime(2026, 1, 2, 3, 4, 2, tzinfo=UTC)
"""Two seconds after the resource was created."""
CLOCK = 1_000.0
OURS = {"cluster": "cluster-a", "temporal_namespace": "default"}
AWAY = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal cannot be reached")
NO_CLASS = Problem(Reason.CLASS_NOT_FOUND, "there is no OrderClass none", stalled=True)
CLASS = OrderClass(name="standard", generation=1, spec=a_policy())
WORKFLOW = {"id": f"order/shop/order-1/{UID}", "runID": "run-1", "namespace": "default", "taskQueue": "orders"}
WAITING_STATUS = {"phase": "Waiting", "orderStatus": "Await Approval", "observedGeneration": 1, "workflow": WORKFLOW}
OF_AN_EARLIER_RUN = {**WAITING_STATUS, "workflow": {**WORKFLOW, "runID": "run-0"}}
COMPLETED_STATUS = {"phase": "Completed", "observedGeneration": 1, "workflow": WORKFLOW}


def known(order: OrderResource | None = None, **facts: Any) -> Known:
    """A young order, and nothing else is known."""
    given: dict[str, Any] = {"now": NOW, "clock": CLOCK, "order_class": CLASS, **OURS, **facts}
    return Known(order=order or an_order_resource(), **given)


def shown(facts: Known) -> Known:
    """The same once all that is to be written is written."""
    for _ in range(3):
        action = next_action(facts)
        match action:
            case WriteStatus(status):
                facts = replace(facts, order=replace(facts.order, status=dict(status)))
            case SetFinalizer(present):
                facts = replace(facts, order=replace(facts.order, finalizers=(FINALIZER,) if present else ()))
            case _:
                return facts
    raise AssertionError(f"does not come to rest: {next_action(facts)}")


def at(status: OrderStatus, **changes: Any) -> Observation:
    """A run at this status, open unless that is an end."""
    run = WorkflowExecutionStatus.COMPLETED if status.terminal else WorkflowExecutionStatus.RUNNING
    return an_observation(status=run, snapshot=a_snapshot(status=status, **changes))


def stopped(run: WorkflowExecutionStatus = WorkflowExecutionStatus.TERMINATED, **changes: Any) -> Observation:
    return an_observation(
        status=run, snapshot=a_snapshot(status="Charge Customer"), close_time=NOW - timedelta(seconds=1), **changes
    )


def status_of(action: Action) -> Mapping[str, Any]:
    assert isinstance(action, WriteStatus), action
    return action.status


def ready(status: Mapping[str, Any]) -> tuple[str, str]:
    (found,) = [item for item in status["conditions"] if item["type"] == "Ready"]
    return found["status"], found["reason"]


WAITS = at(OrderStatus.AWAIT_APPROVAL)
RUNS = at(OrderStatus.CHARGE_CUSTOMER)
ENDED = at(OrderStatus.ORDER_COMPLETED)
STOPS = [
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
]
OTHER_ADDRESS = an_order_spec(shipping_address=an_address(city="Shelbyville"))
