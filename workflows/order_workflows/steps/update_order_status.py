"""Write back to the shop's books that the order is carried out."""

from temporalio import workflow

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import timing
from order_workflows.activities.order import OrderActivities, UpdateStatus
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """What fails here before the pivot undoes the order; after it, the step waits for a person."""
    request = UpdateStatus(
        order=order.input.identity,
        operation_id=order.operation("update_status"),
        status=OrderStatus.UPDATE_ORDER_STATUS,
    )
    outcome = await workflow.execute_local_activity_method(
        OrderActivities.update_status, request, **timing.local(order.retry(StepName.UPDATE_ORDER_STATUS))
    )
    order.attempted(outcome)
