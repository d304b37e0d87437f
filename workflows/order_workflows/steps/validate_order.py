"""Check what neither the schema nor the operator can know, before anything is touched."""

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import local_activities
from order_workflows.activities.stock import StockActivities, ValidateLines
from order_workflows.order_run import OrderRun
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """Raises InvalidOrder through the activity when a line names an unknown article."""
    outcome = await local_activities.as_class_says(
        StockActivities.validate,
        ValidateLines(lines=order.lines),
        order.retry(StepName.VALIDATE),
        failed=order.show_retry,
    )
    order.attempted(outcome)


STEP = Step(name=StepName.VALIDATE, run=run, status=OrderStatus.VALIDATE_ORDER, activities=("validate_lines",))
