"""What the ledger holds of an order's money, stock and parcels, and whether an end fits that."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, exists, select

from order_domain.errors import BooksDisagree
from order_domain.status import OrderStatus
from order_worker.ledger.locked_order import LockedOrder
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import State
from order_worker.ledger.tables import operations, orders, payments, reservations
from order_workflows.activities.order import KnownEffects
from order_workflows.contract import ResourceIdentity


@dataclass(frozen=True)
class Books:
    """Of one order."""

    captured_minor: int
    refunded_minor: int
    transaction_id: str | None
    refund_id: str | None
    charge_open: bool
    """Whether the charge took anything is not known."""
    held: bool
    """Units are held."""


@dataclass(frozen=True)
class Shipment:
    """A parcel that was asked for, and not refused."""

    operation_id: str
    line_id: str
    reversed: bool
    sold: bool
    """The carrier said that it is too late to call it back."""


_charges = operations.alias("charges")
_BOOKS = (
    select(
        payments.c.captured_minor,
        payments.c.refunded_minor,
        payments.c.transaction_id,
        payments.c.refund_id,
        _charges.c.state.label("charge_state"),
        exists()
        .where(
            operations.c.order_uid == orders.c.uid,
            reservations.c.operation_id == operations.c.operation_id,
            reservations.c.state == "held",
        )
        .correlate(orders)
        .label("held"),
    )
    .select_from(
        orders.outerjoin(payments).outerjoin(_charges, _charges.c.operation_id == payments.c.charge_operation_id)
    )
    .where(orders.c.uid == bindparam("order"))
)
_SHIPMENTS = (
    select(operations.c.operation_id, operations.c.kind, operations.c.params, operations.c.outcome)
    .add_columns(operations.c.reversed_by, operations.c.state)
    .where(
        operations.c.order_uid == bindparam("order"),
        operations.c.kind.in_([OperationKind.SHIP.value, OperationKind.CANCEL_SHIPMENT.value]),
        operations.c.state != State.REFUSED.value,
    )
    .order_by(operations.c.created_at, operations.c.operation_id)
)
_OF_A_NAMESAKE = (
    select(payments.c.transaction_id)
    .join(orders, orders.c.uid == payments.c.order_uid)
    .where(
        orders.c.namespace == bindparam("order_namespace"),
        orders.c.name == bindparam("order_name"),
        orders.c.uid != bindparam("order"),
        orders.c.status.in_([status.value for status in OrderStatus if status.terminal]),
        payments.c.transaction_id == bindparam("transaction"),
    )
    .limit(1)
)
_SOLD_IN_PART = select(operations.c.operation_id).where(
    operations.c.order_uid == bindparam("order"), operations.c.kind == OperationKind.SELL_LINES.value
)


def read(tx: Connection, order_uid: str) -> Books:
    """Of an order that is there."""
    row = tx.execute(_BOOKS, {"order": order_uid}).one()
    return Books(
        row.captured_minor or 0,
        row.refunded_minor or 0,
        row.transaction_id,
        row.refund_id,
        row.charge_state == State.INTENT,
        bool(row.held),
    )


def shipments(tx: Connection, order_uid: str) -> list[Shipment]:
    """In the order in which they were asked for."""
    rows = tx.execute(_SHIPMENTS, {"order": order_uid}).all()
    too_late = {
        row.params["shipment"]
        for row in rows
        if row.kind == OperationKind.CANCEL_SHIPMENT and (row.outcome or {}).get("tooLate")
    }
    return [
        Shipment(row.operation_id, row.params["lineID"], row.reversed_by is not None, row.operation_id in too_late)
        for row in rows
        if row.kind == OperationKind.SHIP
    ]


def sold_in_part(tx: Connection, order_uid: str) -> bool:
    """Whether the order was cut down to the lines that cannot be called back."""
    return tx.execute(_SOLD_IN_PART, {"order": order_uid}).first() is not None


def without_money_of_a_namesake(tx: Connection, order: ResourceIdentity, known: KnownEffects) -> KnownEffects:
    """What is known of the order, but for a charge that the ledger has under an order of its name which has ended: the
    resource was restored from a backup, and its status tells of the one before."""
    names = {"order_namespace": order.namespace, "order_name": order.name, "order": order.uid}
    if known.transaction_id is None:
        return known
    if tx.execute(_OF_A_NAMESAKE, {**names, "transaction": known.transaction_id}).first() is None:
        return known
    return known.model_copy(update={"transaction_id": None, "captured_minor": 0, "refunded_minor": 0})


def money_unknown_here(known: KnownEffects, kept: Books) -> list[str]:
    """What is known of the money of an order and not by the ledger, as sentences."""
    flaws = []
    money = (known.captured_minor, known.transaction_id)
    knows_money = known.captured_minor > 0 or known.transaction_id is not None
    if knows_money and not kept.charge_open and money != (kept.captured_minor, kept.transaction_id):
        flaws.append(
            f"the workflow knows of {known.captured_minor} captured as {known.transaction_id}, the ledger of "
            f"{kept.captured_minor} as {kept.transaction_id}"
        )
    if known.refunded_minor > kept.refunded_minor:
        flaws.append(f"the workflow knows of {known.refunded_minor} refunded, the ledger of {kept.refunded_minor}")
    return flaws


def refuse_end(tx: Connection, order: LockedOrder, status: OrderStatus) -> None:
    """Raises BooksDisagree, with the figures, for an end that does not fit. Triggers of the database hold the same."""
    uid = order.identity.uid
    books = read(tx, uid)
    balance = books.captured_minor - books.refunded_minor
    flaws = ["units are held"] if books.held else []
    if status is OrderStatus.ORDER_COMPLETED:
        if order.owed_minor not in (None, balance):
            flaws.append(f"{order.owed_minor} is owed")
        if order.status == OrderStatus.COMPENSATE_ORDER and not sold_in_part(tx, uid):
            flaws.append("it is halted, and no line is sold")
    else:
        if balance:
            flaws.append("money is kept")
        if books.charge_open:
            flaws.append("nothing is known yet of its charge")
        out = [shipment.operation_id for shipment in shipments(tx, uid) if not shipment.reversed]
        if out:
            flaws.append(f"parcels are out: {', '.join(out)}")
    if flaws:
        raise BooksDisagree(
            f"order {uid} cannot become {status}: {'; '.join(flaws)}; {books.captured_minor} is captured, "
            f"{books.refunded_minor} refunded"
        )
