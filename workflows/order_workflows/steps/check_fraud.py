"""Ask the fraud service; its verdict is final, its outage is waited out."""

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import questions
from order_workflows.order_run import OrderRun
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """Raises FraudSuspected through the activity."""
    order.attempted(await questions.fraud_verdict(order, order.lines, order.charges))


STEP = Step(name=StepName.CHECK_FRAUD, run=run, status=OrderStatus.CHECK_FRAUD, activities=("check_fraud",))
