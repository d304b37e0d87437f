"""Check what neither the schema nor the operator can know, before anything is touched."""

from temporalio import workflow

from order_domain.pipeline import StepName
from order_workflows import timing
from order_workflows.activities.stock import StockActivities, ValidateLines
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises InvalidOrder through the activity when a line names an unknown article."""
    outcome = await workflow.execute_local_activity_method(
        StockActivities.validate,
        ValidateLines(lines=order.lines),
        **timing.local(order.retry(StepName.VALIDATE)),
    )
    order.attempted(outcome)
