"""Questions that both a step and a change of lines ask."""

from temporalio import workflow

from order_domain.order import OrderLine
from order_domain.pipeline import StepName
from order_workflows import timing
from order_workflows.activities.effect import Outcome
from order_workflows.activities.fraud import CheckFraud, FraudActivities
from order_workflows.activities.shop_data import GetItems, Items, ShopDataActivities
from order_workflows.order_run import OrderRun


async def fraud_verdict(order: OrderRun, total_minor: int, operation: str) -> Outcome:
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


async def items_of(order: OrderRun, lines: list[OrderLine]) -> Items:
    """What the catalogue says of these lines. Raises ProviderUnavailable through the activity."""
    return await workflow.execute_local_activity_method(
        ShopDataActivities.items, GetItems(lines=lines), **timing.local(order.retry(StepName.GET_ITEMS))
    )
