"""Tell the customer; a mail that cannot be sent is shown, but never changes how an order ends."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.money import format_amount
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import timing
from order_workflows.activities.effect import Outcome
from order_workflows.activities.notification import Notice, NotificationActivities
from order_workflows.activity_failures import reason_of
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Sends the confirmation; without an address there is nobody to tell."""
    number = order.input.order_id
    amount = format_amount(order.total_minor, order.spec.currency)
    tracking = ", ".join(record.tracking_number or "" for record in order.shipments.values())
    outcome = await _send(
        order,
        order.operation("notify"),
        subject=f"Your order {number} is on its way" if tracking else f"Your order {number} is confirmed",
        body=f"Total: {amount}\n" + (f"Tracking: {tracking}\n" if tracking else ""),
    )
    if outcome is not None:
        order.attempted(outcome)
    elif order.notified is None:
        order.skip()


async def tell_of_the_end(order: OrderRun, status: OrderStatus) -> None:
    """Sends the reason for which the order was not carried out, if the class tells customers anything at all."""
    if StepName.NOTIFY not in order.input.policy.pipeline:
        return
    number = order.input.order_id
    end = status.removeprefix("Order ").lower()
    reason = order.last_error.message if order.last_error else ""
    await _send(
        order,
        order.operation("notify/end"),
        subject=f"Your order {number} was {end}" if end != "expired" else f"Your order {number} has expired",
        body=f"Your order {number} was not carried out: {reason}.\nWhat had been charged is refunded.\n",
    )


async def _send(order: OrderRun, operation_id: str, *, subject: str, body: str) -> Outcome | None:
    """None where nothing was sent; `order.notified` tells then whether there was somebody to tell."""
    if order.spec.customer.email is None:
        return None
    notice = Notice(
        order=order.input.identity,
        operation_id=operation_id,
        order_id=order.input.order_id,
        email=order.spec.customer.email,
        subject=subject,
        body=body,
    )
    try:
        outcome = await workflow.execute_local_activity_method(
            NotificationActivities.notify, notice, **timing.best_effort(order.retry(StepName.NOTIFY))
        )
    except FailureError as failure:
        if is_cancelled_exception(failure):
            raise
        order.notified = False
        workflow.logger.warning("mail not sent", extra={"cause": reason_of(failure).type})
        return None
    order.notified = True
    return outcome
