"""Write back to the shop's books that the order is carried out."""

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import local_activities
from order_workflows.activities.order import OrderActivities, UpdateStatus
from order_workflows.order_run import OrderRun
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """What fails here before the pivot undoes the order; after it, the step waits for a person."""
    request = UpdateStatus(
        order=order.input.identity,
        operation_id=order.operation("update_status"),
        status=OrderStatus.UPDATE_ORDER_STATUS,
    )
    outcome = await local_activities.as_class_says(
        OrderActivities.update_status, request, order.retry(StepName.UPDATE_ORDER_STATUS), failed=order.show_retry
    )
    order.attempted(outcome)


STEP = Step(
    name=StepName.UPDATE_ORDER_STATUS,
    run=run,
    status=OrderStatus.UPDATE_ORDER_STATUS,
    activities=("update_order_status",),
)
