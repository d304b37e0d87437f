"""Questions that both a step and a change of lines ask."""

from collections.abc import Sequence

from order_domain.order import OrderCharge, OrderLine, lines_digest, sum_minor
from order_domain.pipeline import StepName
from order_domain.retry import StepRetry
from order_workflows import local_activities
from order_workflows.activities.effect import Outcome
from order_workflows.activities.fraud import CheckFraud, FraudActivities
from order_workflows.activities.shop_data import GetItems, Items, ShopDataActivities
from order_workflows.order_run import OrderRun


async def fraud_verdict(
    order: OrderRun, lines: Sequence[OrderLine], charges: Sequence[OrderCharge], *, retry: StepRetry | None = None
) -> Outcome:
    """The verdict on an order of these lines to the address in force. `retry` instead of what the class says. Raises
    FraudSuspected through the activity."""
    country = order.address.country
    request = CheckFraud(
        order=order.input.identity,
        # Another question has another id: its answer is not that of an earlier one.
        operation_id=order.operation(f"fraud/{lines_digest(lines, charges)}/{country}"),
        customer_id=order.spec.customer.id,
        currency=order.spec.currency,
        total_minor=sum_minor(lines, charges),
        country=country,
    )
    verdict = await local_activities.as_class_says(
        FraudActivities.check, request, retry or order.retry(StepName.CHECK_FRAUD), failed=order.show_retry
    )
    order.checked_country = country
    return verdict


async def items_of(order: OrderRun, lines: list[OrderLine], *, retry: StepRetry | None = None) -> Items:
    """What the catalogue says of these lines. Raises ProviderUnavailable through the activity."""
    return await local_activities.as_class_says(
        ShopDataActivities.items,
        GetItems(lines=lines),
        retry or order.retry(StepName.GET_ITEMS),
        failed=order.show_retry,
    )
