"""Ask the fraud service; its verdict is final, its outage is waited out."""

from temporalio import workflow

from order_domain.policy import StepName
from order_workflows import timing
from order_workflows.activities import CheckFraud, FraudActivities
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises FraudSuspected through the activity."""
    request = CheckFraud(
        order=order.input.identity,
        operation_id=order.operation("fraud"),
        customer_id=order.spec.customer.id,
        currency=order.spec.currency,
        total_minor=order.total_minor,
        country=order.address.country,
    )
    outcome = await workflow.execute_local_activity_method(
        FraudActivities.check, request, **timing.local(order.retry(StepName.CHECK_FRAUD))
    )
    order.attempted(outcome)
