"""Halting an order that is to end: nothing of it goes forward any more, and what it had begun can be undone."""

from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Row, bindparam, exists, select

from order_domain.errors import BooksDisagree, OrderError
from order_domain.status import OrderStatus
from order_worker.ledger import books, notes, payments, stock
from order_worker.ledger.books import Books, Shipment
from order_worker.ledger.locked_order import LockedOrder, lock, lock_if_received
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, State, audit_intent, open_intent, settle
from order_worker.ledger.orders import change_status, insert, storable
from order_worker.ledger.tables import operations, orders, reservations
from order_workflows.activities.effect import EffectKind, Outcome
from order_workflows.activities.order import BegunEffect, Halted, HaltOrder, KnownEffects, LinesInForce, OrderBooks

_BEGUN = (
    select(
        operations.c.operation_id,
        operations.c.kind,
        operations.c.params,
        operations.c.state,
        operations.c.reversed_by,
        exists().where(reservations.c.operation_id == operations.c.operation_id).label("reserves"),
    )
    .where(
        operations.c.order_uid == bindparam("order"),
        operations.c.kind.in_([*EffectKind, OperationKind.CHANGE_LINES]),
        operations.c.state != State.REFUSED.value,
    )
    .order_by(operations.c.created_at, operations.c.operation_id)
)
_SOLD = (
    select(reservations.c.operation_id)
    .join(operations, operations.c.operation_id == reservations.c.operation_id)
    .where(operations.c.order_uid == bindparam("order"), reservations.c.state == "committed")
    .limit(1)
)
_END = select(operations.c.params, operations.c.outcome).where(
    operations.c.order_uid == bindparam("order"),
    operations.c.kind == bindparam("kind"),
    operations.c.state == State.DONE.value,
)
_LINES = select(orders.c.lines, orders.c.charges, orders.c.lines_digest, orders.c.total_minor).where(
    orders.c.uid == bindparam("order")
)
_MESSAGE = select(orders.c.message).where(orders.c.uid == bindparam("order"))


class WantedEnd(Outcome):
    """How the first halt of an order wanted it to end. It counts for all later ones."""

    status: str = OrderStatus.ORDER_CANCELLED.value
    error_type: str = "WorkflowTerminated"
    message: str | None = None


def halt(tx: Connection, request: HaltOrder) -> Halted | OrderError:
    """Tell what is begun, and let nothing more begin, unless the order has ended or has gone too far to be undone. May
    be repeated, and then knows better what is begun. Gives BooksDisagree where the run knows of more than the ledger;
    the order is halted all the same."""
    uid = request.order.uid
    known = books.without_money_of_a_namesake(tx, request.order, request.known)
    order = lock_if_received(tx, request.order)
    if order is None:
        if known != KnownEffects():
            raise BooksDisagree(f"the workflow knows {_told(known)}, but the ledger never received order {uid}")
        # Without a number: a receipt that is still under way finds an order that is halted, and takes none either.
        insert(tx, request.received, with_number=False)
        order = lock(tx, request.order)
    notes.record(tx, order, request.notes)
    status = OrderStatus(order.status)
    in_part = order.completed and books.sold_in_part(tx, uid)
    ended = status.terminal and (in_part or not order.completed)
    forward = not ended and status is not OrderStatus.COMPENSATE_ORDER and _forward_only(tx, order, request)
    if ended:
        end = _end_on_record(tx, order)
    else:
        end = WantedEnd(status=OrderStatus.ORDER_COMPLETED) if forward else _halt(tx, order, request)
    begun, kept = _begun(tx, uid), books.read(tx, uid)
    flaws = _unknown_here(known, kept, begun)
    if flaws:
        return BooksDisagree(f"order {uid}: {'; '.join(flaws)}")
    if not (ended or forward) and _open_again(tx, order, known.unanswered):
        begun = _begun(tx, uid)
    shipments = books.shipments(tx, uid)
    return Halted(
        ended=status if ended else None,
        status=end.status,
        error_type=end.error_type,
        message=end.message,
        pivot_passed=forward,
        begun=[_effect(row, shipments) for row in begun],
        books=_order_books(order, kept, shipments),
        in_force=_in_force(tx, uid),
    )


def _in_force(tx: Connection, order_uid: str) -> LinesInForce | None:
    """None where an older release received the order."""
    row = tx.execute(_LINES, {"order": order_uid}).one()
    if row.lines is None or row.lines_digest is None:
        return None
    return LinesInForce.model_validate(
        {
            "lines": row.lines,
            "charges": row.charges or [],
            "digest": row.lines_digest,
            "total_minor": row.total_minor,
        }
    )


def _forward_only(tx: Connection, order: LockedOrder, request: HaltOrder) -> bool:
    if request.pivot_passed or order.forward_only or order.completed:
        return True
    return tx.execute(_SOLD, {"order": order.identity.uid}).one_or_none() is not None


def _halt(tx: Connection, order: LockedOrder, request: HaltOrder) -> WantedEnd:
    first = tx.execute(_END, {"order": order.identity.uid, "kind": OperationKind.HALT}).first()
    wanted = WantedEnd(status=request.status, error_type=request.error_type, message=storable(request.message))
    if first is not None:
        # A release that recorded no end knew of one cause only: an earlier run's workflow was terminated.
        return WantedEnd.model_validate(first.outcome) if "status" in first.outcome else wanted
    change_status(tx, order, OrderStatus.COMPENSATE_ORDER)
    order.status = OrderStatus.COMPENSATE_ORDER
    settle(tx, order, Operation(request.order, request.operation_id, OperationKind.HALT, {}), None, wanted)
    return wanted


def _end_on_record(tx: Connection, order: LockedOrder) -> WantedEnd:
    uid = order.identity.uid
    message = tx.execute(_MESSAGE, {"order": uid}).scalar_one()
    closing = tx.execute(_END, {"order": uid, "kind": OperationKind.CLOSE}).first()
    error_type = closing.params.get("errorType") if closing is not None else None
    default = WantedEnd()
    return WantedEnd(status=order.status, error_type=error_type or default.error_type, message=message)


def _begun(tx: Connection, order_uid: str) -> Sequence[Row[Any]]:
    rows = tx.execute(_BEGUN, {"order": order_uid}).all()
    # Where pieces are held, a change of lines holds others instead.
    return [row for row in rows if row.kind != OperationKind.CHANGE_LINES or row.reserves]


def _open_again(tx: Connection, order: LockedOrder, unanswered: Sequence[BegunEffect]) -> bool:
    """Open what the workflow has asked for and the ledger does not know: it may have lost it, with its last second or
    in a restore. That no row is there is no proof that nobody asked; once it is open, the undoing asks the provider.
    Whether anything was opened."""
    opened = False
    for effect in unanswered:
        params: dict[str, JsonValue] = {} if effect.line_id is None else {"lineID": effect.line_id}
        operation = Operation(order.identity, effect.operation_id, OperationKind(effect.kind), params)
        if not open_intent(tx, operation):
            continue
        opened = True
        audit_intent(tx, order, operation)
        if effect.kind is EffectKind.CHARGE:
            payments.intend_lost_charge(tx, order, effect.operation_id)
    return opened


def _effect(row: Row[Any], shipments: Sequence[Shipment]) -> BegunEffect:
    return BegunEffect(
        kind=EffectKind.RESERVE if row.kind == OperationKind.CHANGE_LINES else EffectKind(row.kind),
        operation_id=row.operation_id,
        line_id=row.params.get("lineID"),
        state=row.state,
        reversed=row.reversed_by is not None,
        sold=any(shipment.sold for shipment in shipments if shipment.operation_id == row.operation_id),
    )


def _order_books(order: LockedOrder, kept: Books, shipments: Sequence[Shipment]) -> OrderBooks:
    return OrderBooks(
        owed_minor=order.owed_minor,
        captured_minor=kept.captured_minor,
        refunded_minor=kept.refunded_minor,
        transaction_id=kept.transaction_id,
        refund_id=kept.refund_id,
        currency=order.currency,
        held=kept.held,
        sold_lines=[shipment.line_id for shipment in shipments if shipment.sold],
    )


def _told(known: KnownEffects) -> str:
    return ", ".join(f"{name} {value}" for name, value in known.model_dump(exclude_defaults=True).items())


def _unknown_here(known: KnownEffects, kept: Books, begun: Sequence[Row[Any]]) -> list[str]:
    """What the run knows and the ledger does not."""
    flaws = books.money_unknown_here(known, kept)
    reserved = {
        stock.reservation_id(row.operation_id)
        for row in begun
        if row.kind in (OperationKind.RESERVE, OperationKind.CHANGE_LINES)
    }
    if known.reservation_id is not None and known.reservation_id not in reserved:
        flaws.append(f"the workflow knows of reservation {known.reservation_id}, the ledger does not")
    if known.packed and not any(row.kind == OperationKind.PACK for row in begun):
        flaws.append("the workflow knows that lines are packed, the ledger does not")
    shipped = {row.params.get("lineID") for row in begun if row.kind == OperationKind.SHIP}
    lost = [line_id for line_id in known.shipped_lines if line_id not in shipped]
    if lost:
        flaws.append(f"the workflow knows of parcels of lines {', '.join(lost)}, the ledger does not")
    return flaws
