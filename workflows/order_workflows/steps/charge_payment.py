"""Take the money, at most once however often the step is tried."""

from collections.abc import Collection

from temporalio import workflow

from order_domain.allocation import owed_minor
from order_domain.pipeline import StepName
from order_domain.snapshot import PaymentRecord
from order_domain.status import OrderStatus
from order_workflows import timing
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect
from order_workflows.activities.payment import Charge, PaymentActivities, Refund
from order_workflows.kept_lines import kept_suffix
from order_workflows.order_run import OrderRun
from order_workflows.remote_activities import carried_out
from order_workflows.step import Step


async def run(order: OrderRun) -> None:
    """Raises PaymentDeclined through the activity. An order that costs nothing is not charged."""
    if order.total_minor == 0:
        order.skip()
        return
    request = _request(order)
    order.begins(BegunEffect(kind=EffectKind.CHARGE, operation_id=request.operation_id))
    order.publish()
    receipt = await carried_out(
        PaymentActivities.charge,
        request,
        timing.remote(order.retry(StepName.CHARGE_PAYMENT)),
        waits=order.show_retry,
    )
    order.notes.recorded(request.notes)
    order.attempted(receipt)
    order.payment = PaymentRecord(transaction_id=receipt.transaction_id, captured_minor=receipt.captured_minor)


async def ask_again(order: OrderRun) -> None:
    """For a charge that was answered: the provider gives its first answer, which the ledger may have lost."""
    request = _request(order)
    await workflow.execute_activity_method(PaymentActivities.charge, request, **timing.UNDO)
    order.notes.recorded(request.notes)


def _request(order: OrderRun) -> Charge:
    return Charge(
        order=order.input.identity,
        operation_id=order.operation("charge"),
        amount_minor=order.total_minor,
        currency=order.spec.currency,
        method=order.spec.payment.method,
        lines_digest=order.lines_digest,
        reservation_id=order.reservation_id,
        ordered_at=order.began_at,
        notes=order.notes.pending,
    )


async def refund(order: OrderRun, charge: BegunEffect, kept: Collection[str]) -> None:
    """Give back what the order does not owe for the lines `kept`: all of it where none is kept. A charge that took
    nothing never takes anything from now on."""
    known = order.payment
    lines = sorted(kept)
    amount = None
    if known.captured_minor:
        owed = owed_minor(order.lines, order.charges, lines, order.spec.currency)
        amount = known.captured_minor - known.refunded_minor - owed
    refunded = await workflow.execute_activity_method(
        PaymentActivities.refund,
        Refund(
            order=order.input.identity,
            operation_id=order.operation(f"refund{kept_suffix(lines)}"),
            charge_operation_id=charge.operation_id,
            reason=order.last_error.type if order.last_error else "OrderEnded",
            transaction_id=known.transaction_id,
            captured_minor=known.captured_minor,
            amount_minor=amount,
            refunded_minor=known.refunded_minor,
            kept_lines=lines,
            ordered_at=order.began_at,
        ),
        **timing.UNDO,
    )
    order.payment = known.model_copy(
        update={
            "transaction_id": refunded.transaction_id or known.transaction_id,
            "captured_minor": max(refunded.captured_minor, known.captured_minor),
            "refund_id": refunded.refund_id or known.refund_id,
            "refunded_minor": max(refunded.total_refunded_minor, refunded.refunded_minor),
        }
    )


STEP = Step(
    name=StepName.CHARGE_PAYMENT,
    run=run,
    status=OrderStatus.CHARGE_CUSTOMER,
    activities=("charge_payment",),
    effect=EffectKind.CHARGE,
    undo=refund,
)
