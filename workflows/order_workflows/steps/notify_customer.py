"""Tell the customer; a mail that cannot be sent is shown, but never changes how an order ends."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.errors import OperationConflict
from order_domain.money import format_amount
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import local_activities, timing
from order_workflows.activities.effect import Outcome
from order_workflows.activities.notification import Notice, NotificationActivities
from order_workflows.activity_failures import reason_of
from order_workflows.order_ended import OrderEnded
from order_workflows.order_run import OrderRun
from order_workflows.step import Step

TOLD_OF = frozenset(
    {
        OrderStatus.ORDER_CANCELLED,
        OrderStatus.ORDER_EXPIRED,
        OrderStatus.ORDER_REJECTED,
        OrderStatus.ORDER_FAILED,
    }
)
"""Ends of which the customer is told by mail. A failure only since revision 3."""


async def run(order: OrderRun) -> None:
    """Sends the confirmation; without an address there is nobody to tell."""
    number = order.input.order_id
    amount = format_amount(order.total_minor, order.spec.currency)
    tracking = ", ".join(record.tracking_number or "" for record in order.shipments.values())
    outcome = await _send(
        order,
        order.operation("notify"),
        subject=f"Your order {number} is on its way" if tracking else f"Your order {number} is confirmed",
        body=f"Total: {amount}\n" + (f"Tracking: {tracking}\n{_shipped_to(order)}" if tracking else ""),
    )
    if outcome is not None:
        order.attempted(outcome)
    elif order.notified is None:
        order.skip()


async def tell_of_the_end(order: OrderRun, end: OrderEnded) -> None:
    """Sends the reason for which the order was not carried out, or only in part, and what the ledger says of the money;
    if the class tells customers anything at all."""
    told = TOLD_OF if order.input.revision > 2 else TOLD_OF - {OrderStatus.ORDER_FAILED}
    in_part = end.status is OrderStatus.ORDER_COMPLETED and end.error is not None
    if StepName.NOTIFY not in order.input.policy.pipeline or not (in_part or end.status in told):
        return
    number = order.input.order_id
    reason = end.error.message if end.error else ""
    if in_part:
        subject, result = f"Your order {number} was carried out in part", "was carried out in part"
    else:
        word = end.status.removeprefix("Order ").lower()
        subject = (
            f"Your order {number} has {word}" if word in ("expired", "failed") else f"Your order {number} was {word}"
        )
        result = "was not carried out"
    await _send(
        order,
        order.operation("notify/end"),
        subject=subject,
        body=f"Your order {number} {result}: {reason}.\n{_money(order)}",
    )


def _shipped_to(order: OrderRun) -> str:
    """Not in an order of an earlier release: half-way to the mail service a mail must not become another one."""
    return f"Shipped to:\n{order.address.label}\n" if order.input.revision > 3 else ""


def _money(order: OrderRun) -> str:
    payment, currency = order.payment, order.spec.currency
    if not payment.captured_minor:
        return "You have not been charged.\n"
    charged, refunded = (format_amount(minor, currency) for minor in (payment.captured_minor, payment.refunded_minor))
    return f"Charged: {charged}\nRefunded: {refunded}\n"


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
        outcome = await local_activities.as_class_says(
            NotificationActivities.notify,
            notice,
            timing.best_effort(order.retry(StepName.NOTIFY)),
            failed=order.show_retry,
        )
    except FailureError as failure:
        if is_cancelled_exception(failure):
            raise
        cause = reason_of(failure).type
        # A conflict: the mail service has this mail already, in other words. The ledger knows no mail by its words.
        order.notified = cause == OperationConflict.__name__
        workflow.logger.warning("mail not sent", extra={"cause": cause})
        return None
    order.notified = True
    return outcome


STEP = Step(name=StepName.NOTIFY, run=run, status=OrderStatus.NOTIFY_CUSTOMER, activities=("notify_customer",))
