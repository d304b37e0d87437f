"""Ask the shop's catalogue what the lines are, for people who read the order."""

from order_domain.snapshot import MAX_LISTED_ITEMS
from order_workflows import questions
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises ProviderUnavailable through the activity."""
    items = await questions.items_of(order, order.lines)
    order.attempted(items)
    order.items = items.items[:MAX_LISTED_ITEMS]
