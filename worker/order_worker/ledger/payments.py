"""What was taken from the customer and given back, per order."""

from sqlalchemy import Connection, bindparam, select, update

from order_domain.errors import BooksDisagree, LinesDiffer, OperationConflict
from order_worker.ledger import stock
from order_worker.ledger.database import insert_unless_present
from order_worker.ledger.locked_order import LockedOrder
from order_worker.ledger.tables import payments
from order_workflows.activities.payment import Charge, Receipt, Refunded

_CHARGE = select(payments.c.charge_operation_id).where(payments.c.order_uid == bindparam("order"))
_INTEND = insert_unless_present(payments, payments.c.order_uid)
_BOOK = update(payments).where(payments.c.order_uid == bindparam("order"))


def charge_of(tx: Connection, order_uid: str) -> str | None:
    """Id of the operation that charges, or tried to charge, this order."""
    return tx.execute(_CHARGE, {"order": order_uid}).scalar_one_or_none()


def is_charged(order: LockedOrder) -> bool:
    """Whether the order's pipeline takes money, as far as its total shows; True where its workflow never told."""
    return order.owed_minor != 0 or order.total_minor == 0


def intend_charge(tx: Connection, order: LockedOrder, request: Charge) -> None:
    """Note how much is to be taken. Raises LinesDiffer if that is not what the order owes, OperationConflict for
    another currency than the order's, or if another operation charges this order, BooksDisagree if nothing is held for
    it any more: a ledger that was restored from a backup may have lost that."""
    if request.currency != order.currency:
        raise OperationConflict(f"a charge in {request.currency}, but order {request.order.uid} is in {order.currency}")
    if order.owed_minor is not None and request.amount_minor != order.owed_minor:
        raise LinesDiffer(f"a charge of {request.amount_minor}, but order {request.order.uid} owes {order.owed_minor}")
    if request.amount_minor > order.total_minor:
        raise LinesDiffer(
            f"a charge of {request.amount_minor} is more than the total of order {request.order.uid}, "
            f"{order.total_minor}"
        )
    if request.reservation_id is not None and stock.reservation_of(tx, request.order.uid) is None:
        raise BooksDisagree(
            f"the workflow knows of reservation {request.reservation_id}, the ledger holds nothing for order "
            f"{request.order.uid}: it is not charged"
        )
    if not _intend(tx, order, request.operation_id, request.amount_minor):
        other = charge_of(tx, request.order.uid)
        raise OperationConflict(f"order {request.order.uid} is charged by operation {other} already")


def intend_lost_charge(tx: Connection, order: LockedOrder, operation_id: str) -> None:
    """The same for a charge that the ledger does not know any more: it was for what the order owes."""
    _intend(tx, order, operation_id, order.total_minor if order.owed_minor is None else order.owed_minor)


def _intend(tx: Connection, order: LockedOrder, operation_id: str, amount_minor: int) -> bool:
    """False if a charge of the order is noted already."""
    row = {
        "order_uid": order.identity.uid,
        "charge_operation_id": operation_id,
        "currency": order.currency,
        "total_minor": amount_minor,
        "captured_minor": 0,
        "refunded_minor": 0,
    }
    return tx.execute(_INTEND[tx.dialect.name], row).one_or_none() is not None


def book_charge(tx: Connection, order_uid: str, receipt: Receipt) -> None:
    """Note what was taken."""
    tx.execute(_BOOK, {"order": order_uid, **_taken(receipt)})


def book_refund(tx: Connection, order_uid: str, receipt: Receipt, refunded: Refunded) -> None:
    """Note what was given back by now, and what the provider says it had taken, in case the charge never reported."""
    given_back = {"refunded_minor": refunded.total_refunded_minor, "refund_id": refunded.refund_id}
    tx.execute(_BOOK, {"order": order_uid, **_taken(receipt), **given_back})


def _taken(receipt: Receipt) -> dict[str, int | str]:
    return {"captured_minor": receipt.captured_minor, "transaction_id": receipt.transaction_id}
