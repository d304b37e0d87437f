"""Tell the customer; a mail that cannot be sent is shown, but never fails an order that has shipped."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.money import format_amount
from order_domain.policy import StepName
from order_workflows import timing
from order_workflows.activities import Notice, NotificationActivities
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Sends the confirmation; without an address there is nobody to tell."""
    email = order.spec.customer.email
    if email is None:
        order.skip()
        return
    number = order.input.order_id
    amount = format_amount(order.total_minor, order.spec.currency)
    tracking = ", ".join(record.tracking_number or "" for record in order.shipments.values())
    notice = Notice(
        order=order.input.identity,
        operation_id=order.operation("notify"),
        order_id=number,
        email=email,
        subject=f"Your order {number} is on its way",
        body=f"Total: {amount}\nTracking: {tracking}\n",
    )
    try:
        outcome = await workflow.execute_local_activity_method(
            NotificationActivities.notify, notice, **timing.local(order.retry(StepName.NOTIFY))
        )
    except FailureError as failure:
        if is_cancelled_exception(failure):
            raise
        order.notified = False
        workflow.logger.warning("confirmation not sent")
        return
    order.attempted(outcome)
    order.notified = True
