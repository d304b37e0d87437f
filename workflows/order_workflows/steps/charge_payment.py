"""Take the money, at most once however often the step is tried."""

from temporalio import workflow

from order_domain.pipeline import StepName
from order_domain.snapshot import PaymentRecord
from order_workflows import timing
from order_workflows.activities.payment import Charge, PaymentActivities, Refund
from order_workflows.order_run import OrderRun


async def run(order: OrderRun) -> None:
    """Raises PaymentDeclined through the activity. An order that costs nothing is not charged."""
    if order.total_minor == 0:
        order.skip()
        return
    request = Charge(
        order=order.input.identity,
        operation_id=order.operation("charge"),
        amount_minor=order.total_minor,
        currency=order.spec.currency,
        method=order.spec.payment.method,
    )

    # Registered first: a charge that timed out may still have gone through.
    order.on_failure(StepName.CHARGE_PAYMENT, lambda: refund(order, request.operation_id))
    order.publish()
    receipt = await workflow.execute_activity_method(
        PaymentActivities.charge, request, **timing.remote(order.retry(StepName.CHARGE_PAYMENT))
    )
    order.attempted(receipt)
    order.payment = PaymentRecord(transaction_id=receipt.transaction_id, captured_minor=receipt.captured_minor)


async def refund(order: OrderRun, charge_operation_id: str) -> None:
    """Give back what the charge took, or make sure that it never takes anything."""
    refunded = await workflow.execute_activity_method(
        PaymentActivities.refund,
        Refund(
            order=order.input.identity,
            operation_id=order.operation("refund"),
            charge_operation_id=charge_operation_id,
            reason=order.last_error.type if order.last_error else "OrderEnded",
        ),
        **timing.UNDO,
    )
    order.payment = order.payment.model_copy(
        update={"refund_id": refunded.refund_id, "refunded_minor": refunded.refunded_minor}
    )
