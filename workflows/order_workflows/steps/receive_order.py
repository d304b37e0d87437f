"""Make the order known to the ledger, which holds order numbers unique within a namespace."""

from temporalio import workflow

from order_domain.pipeline import StepName
from order_workflows import timing
from order_workflows.activities.order import OrderActivities, ReceiveOrder
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises DuplicateOrder through the activity when the number is taken."""
    outcome = await workflow.execute_local_activity_method(
        OrderActivities.receive, request(order), **timing.local(order.retry(StepName.RECEIVE))
    )
    order.attempted(outcome)


def request(order: OrderRun) -> ReceiveOrder:
    """The order as the ledger gets to know it."""
    return ReceiveOrder(
        order=order.input.identity,
        operation_id=order.operation("receive"),
        order_id=order.input.order_id,
        customer_id=order.spec.customer.id,
        currency=order.spec.currency,
        total_minor=order.total_minor,
    )
