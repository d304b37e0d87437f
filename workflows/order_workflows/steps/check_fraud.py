"""Ask the fraud service; its verdict is final, its outage is waited out."""

from order_workflows import questions
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises FraudSuspected through the activity."""
    order.attempted(await questions.fraud_verdict(order, order.total_minor, "fraud"))
