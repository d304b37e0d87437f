"""Ask the shop's catalogue what the lines are, for people who read the order."""

from temporalio import workflow

from order_domain.order import OrderLine
from order_domain.pipeline import StepName
from order_domain.snapshot import MAX_LISTED_ITEMS
from order_workflows import timing
from order_workflows.activities.shop_data import GetItems, Items, ShopDataActivities
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises ProviderUnavailable through the activity."""
    items = await fetch(order, order.lines)
    order.attempted(items)
    order.items = items.items[:MAX_LISTED_ITEMS]


async def fetch(order: OrderRun, lines: list[OrderLine]) -> Items:
    """What the catalogue says of these lines. Raises ProviderUnavailable through the activity."""
    return await workflow.execute_local_activity_method(
        ShopDataActivities.items, GetItems(lines=lines), **timing.local(order.retry(StepName.GET_ITEMS))
    )
