"""Check what neither the schema nor the operator can know, before anything is touched."""

from order_domain.judgement import flaws
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import local_activities
from order_workflows.activities.stock import StockActivities, ValidateLines
from order_workflows.order_run import OrderRun
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """Raises InvalidOrder through the activity when the order breaks a rule, a line names an unknown SKU, or the
    payment provider cannot take the amount."""
    charged = StepName.CHARGE_PAYMENT in order.input.policy.pipeline
    request = ValidateLines(
        lines=order.lines,
        flaws=flaws(order.spec.with_lines(order.lines, order.charges)),
        currency=order.spec.currency if charged else None,
        total_minor=order.total_minor if charged else None,
    )
    outcome = await local_activities.as_class_says(
        StockActivities.validate, request, order.retry(StepName.VALIDATE), failed=order.show_retry
    )
    order.attempted(outcome)


STEP = Step(name=StepName.VALIDATE, run=run, status=OrderStatus.VALIDATE_ORDER, activities=("validate_lines",))
