"""What was taken from the customer and given back, per order."""

from sqlalchemy import Connection, insert, select, update

from order_domain.errors import OperationConflict
from order_worker.ledger.tables import payments
from order_workflows.activities import Charge, Receipt, Refunded


def intend_charge(tx: Connection, request: Charge) -> None:
    """Note how much may be taken at most. Raises OperationConflict if another operation charges this order."""
    other = tx.execute(
        select(payments.c.charge_operation_id).where(payments.c.order_uid == request.order.uid)
    ).scalar_one_or_none()
    if other is not None:
        raise OperationConflict(f"order {request.order.uid} is charged by operation {other} already")
    tx.execute(
        insert(payments).values(
            order_uid=request.order.uid,
            charge_operation_id=request.operation_id,
            currency=request.currency,
            total_minor=request.amount_minor,
            captured_minor=0,
            refunded_minor=0,
        )
    )


def book_charge(tx: Connection, order_uid: str, receipt: Receipt) -> None:
    """Note what was taken."""
    tx.execute(
        update(payments)
        .where(payments.c.order_uid == order_uid)
        .values(captured_minor=receipt.captured_minor, transaction_id=receipt.transaction_id)
    )


def book_refund(tx: Connection, order_uid: str, receipt: Receipt, refunded: Refunded) -> None:
    """Note what was given back, and what the provider says it had taken, in case the charge never reported."""
    tx.execute(
        update(payments)
        .where(payments.c.order_uid == order_uid)
        .values(
            captured_minor=receipt.captured_minor,
            transaction_id=receipt.transaction_id,
            refunded_minor=refunded.refunded_minor,
            refund_id=refunded.refund_id,
        )
    )
