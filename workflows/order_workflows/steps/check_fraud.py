"""Ask the fraud service; its verdict is final, its outage is waited out."""

from temporalio import workflow

from order_domain.pipeline import StepName
from order_workflows import timing
from order_workflows.activities.effect import Outcome
from order_workflows.activities.fraud import CheckFraud, FraudActivities
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises FraudSuspected through the activity."""
    order.attempted(await ask(order, order.total_minor, "fraud"))


async def ask(order: OrderRun, total_minor: int, operation: str) -> Outcome:
    """The verdict on an order of this total. Raises FraudSuspected through the activity."""
    request = CheckFraud(
        order=order.input.identity,
        operation_id=order.operation(operation),
        customer_id=order.spec.customer.id,
        currency=order.spec.currency,
        total_minor=total_minor,
        country=order.address.country,
    )
    return await workflow.execute_local_activity_method(
        FraudActivities.check, request, **timing.local(order.retry(StepName.CHECK_FRAUD))
    )
