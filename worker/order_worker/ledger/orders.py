"""The ledger's record of the order itself."""

from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Row, bindparam, func, or_, select, update

from order_domain.errors import (
    BooksDisagree,
    DuplicateOrder,
    OperationConflict,
    OperationReversed,
    OrderError,
    PermanentError,
)
from order_domain.order import lines_digest
from order_domain.status import OrderStatus
from order_worker.ledger import audit, books, installations, notes, payments, stock
from order_worker.ledger.database import insert_unless_present
from order_worker.ledger.locked_order import LockedOrder, lock, lock_if_received
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import (
    Operation,
    recall,
    refuse_if_completed,
    refuse_if_undone,
    settle,
)
from order_worker.ledger.tables import operations, orders
from order_worker.ledger.undoing import mark_reversed
from order_workflows.activities.effect import Outcome
from order_workflows.activities.order import (
    ChangeLines,
    CloseOrder,
    KnownEffects,
    LinesChanged,
    Received,
    ReceiveOrder,
    UpdateStatus,
)

_ENDS = frozenset(status for status in OrderStatus if status.terminal)

NEXT: dict[str, frozenset[str]] = {
    OrderStatus.ORDER_RECEIVED: _ENDS | {OrderStatus.UPDATE_ORDER_STATUS, OrderStatus.COMPENSATE_ORDER},
    OrderStatus.UPDATE_ORDER_STATUS: _ENDS | {OrderStatus.COMPENSATE_ORDER},
    OrderStatus.COMPENSATE_ORDER: _ENDS,
}
"""Where an order may go from each status; an end is final. A trigger of the database holds the same."""

_ADD = insert_unless_present(orders, orders.c.uid)
_HOLDER = (
    select(orders.c.uid, orders.c.namespace, orders.c.name, orders.c.status)
    .where(
        orders.c.namespace == bindparam("order_namespace"),
        orders.c.order_id == bindparam("number"),
        or_(
            orders.c.cluster.is_(None),
            orders.c.cluster == bindparam("installation", type_=orders.c.cluster.type),
            bindparam("installation", type_=orders.c.cluster.type).is_(None),
        ),
    )
    .limit(1)
)
_FIRST = select(orders.c.uid, orders.c.namespace, orders.c.name, orders.c.status).where(
    orders.c.uid == bindparam("first"), orders.c.order_id == bindparam("number")
)
_RECEIVED = select(orders.c.order_id, orders.c.former_order_id, orders.c.customer_id).where(
    orders.c.uid == bindparam("order")
)
_CHANGE = update(orders).where(orders.c.uid == bindparam("order"))
_GIVE_NUMBER_BACK = _CHANGE.values(
    former_order_id=func.coalesce(orders.c.former_order_id, orders.c.order_id), order_id=None
)


def receive(tx: Connection, request: ReceiveOrder) -> Received | OrderError:
    """Make the order known. The same uid again is the same order: it gets the lines and charges of the request, unless
    they cannot be changed any more, and one that has completed says so. Another uid under a number that is held is a
    duplicate, and so is an order that was restored from a backup while the one that it was has its number, in whatever
    installation. Raises OperationConflict if the same uid comes with another number, customer or currency,
    OperationCancelled if the order is halted or has ended other than completed, BooksDisagree if more is known of its
    money than the ledger has: it was restored from a backup, and is no proof that the order is new."""
    first = _first(tx, request)
    if first is not None:
        return first
    if insert(tx, request):
        _refuse_lost_money(tx, request)
        return Received()
    order = lock_if_received(tx, request.order)
    if order is None:
        refusal = duplicate(tx, request)
        assert refusal is not None
        return refusal
    refuse_if_undone(order, _receiving(request))
    known = tx.execute(_RECEIVED, {"order": request.order.uid}).one()
    number = known.order_id or known.former_order_id
    if (number, known.customer_id, order.currency) != (request.order_id, request.customer_id, request.currency):
        raise OperationConflict(f"order {request.order.uid} was received before with other data")
    if order.completed:
        return Received(ended=order.status)
    _refuse_lost_money(tx, request)
    _restate(tx, order, request)
    return Received()


def _first(tx: Connection, request: ReceiveOrder) -> DuplicateOrder | None:
    """The order that this one was before it was restored, if that has the number."""
    if request.begins_again is None:
        return None
    first = tx.execute(_FIRST, {"first": request.begins_again, "number": request.order_id}).one_or_none()
    return _taken(request, first) if first is not None else None


def _refuse_lost_money(tx: Connection, request: ReceiveOrder) -> None:
    if request.known == KnownEffects():
        return
    flaws = books.money_unknown_here(request.known, books.read(tx, request.order.uid))
    if flaws:
        raise BooksDisagree(f"order {request.order.uid}: {'; '.join(flaws)}")


def insert(tx: Connection, request: ReceiveOrder, *, with_number: bool = True) -> bool:
    """Receive an order for the first time; False if the uid or the number is there already. It waits for a transaction
    that is about to insert the same. Without its number the order keeps no other one from having it."""
    digest = _digest(request)
    owed = {None: None, True: request.total_minor, False: 0}[request.charged]
    now = datetime.now(UTC)
    row = {
        "uid": request.order.uid,
        "namespace": request.order.namespace,
        "name": request.order.name,
        "cluster": installations.of(request.order),
        "order_id": request.order_id if with_number else None,
        "former_order_id": None if with_number else request.order_id,
        "customer_id": request.customer_id,
        "currency": request.currency,
        "total_minor": request.total_minor,
        **_in_force(request),
        "owed_minor": owed,
        "status": OrderStatus.ORDER_RECEIVED,
        "last_seq": 0,
        "last_hash": audit.GENESIS,
        "created_at": now,
        "updated_at": now,
    }
    if tx.execute(_ADD[tx.dialect.name], row).one_or_none() is None:
        return False
    order = LockedOrder(
        request.order,
        OrderStatus.ORDER_RECEIVED,
        request.currency,
        request.total_minor,
        0,
        audit.GENESIS,
        owed_minor=owed,
        lines_digest=digest,
    )
    settle(tx, order, _receiving(request), None, Outcome())
    return True


def duplicate(tx: Connection, request: ReceiveOrder) -> DuplicateOrder | None:
    """Which other order has the number."""
    number = {"order_namespace": request.order.namespace, "number": request.order_id}
    first = tx.execute(_HOLDER, {**number, "installation": installations.of(request.order)}).one_or_none()
    return _taken(request, first) if first is not None else None


def _taken(request: ReceiveOrder, first: Row[Any, Any, Any, Any]) -> DuplicateOrder:
    namesake = first.uid if first.name == request.order.name else None
    return DuplicateOrder(request.order_id, f"{first.namespace}/{first.name}", OrderStatus(first.status), namesake)


def _receiving(request: ReceiveOrder) -> Operation:
    params: dict[str, JsonValue] = {
        "orderID": request.order_id,
        "customerID": request.customer_id,
        "currency": request.currency,
        "totalMinor": request.total_minor,
    }
    told: dict[str, JsonValue] = {} if request.charged is None else {"charged": request.charged}
    if request.lines:
        told["lines"] = _digest(request)
    return Operation(request.order, request.operation_id, OperationKind.RECEIVE, params, told)


def _digest(request: ReceiveOrder | ChangeLines) -> str | None:
    return lines_digest(request.lines, request.charges) if request.lines else None


def _in_force(request: ReceiveOrder | ChangeLines) -> dict[str, Any]:
    """Without descriptions: text for people is not the ledger's."""
    if not request.lines:
        return {"lines": None, "charges": None, "lines_digest": None}
    return {
        "lines": [line.model_dump(mode="json", exclude={"description"}) for line in request.lines],
        "charges": [charge.model_dump(mode="json", exclude={"description"}) for charge in request.charges],
        "lines_digest": _digest(request),
    }


def _restate(tx: Connection, order: LockedOrder, request: ReceiveOrder) -> None:
    """Put the lines of a run that begins anew in force. Pieces that are held for other ones are given back: the run is
    about to reserve. Lines that are charged or sold
    stay: a step for others is refused with LinesDiffer then. An older workflow tells a total alone, always the same."""
    uid = request.order.uid
    digest = _digest(request)
    if digest is None:
        recall(tx, _receiving(request))
        return
    fixed = order.completed or order.forward_only or payments.charge_of(tx, uid) is not None
    if digest == order.lines_digest or fixed:
        return
    held = stock.held_by(tx, uid)
    wanted = stock.pieces(request.lines)
    operation = Operation(
        request.order,
        f"{request.operation_id}/{order.last_seq}",
        OperationKind.CHANGE_LINES,
        {"pieces": dict(wanted), "lines": digest, "totalMinor": request.total_minor, "replaces": None},
    )
    before: dict[str, JsonValue] = {"totalMinor": order.total_minor, "pieces": dict(stock.total(held))}
    settle(tx, order, operation, None, LinesChanged(), before=before)
    if held and stock.total(held) != wanted:
        stock.lock_free(tx, stock.total(held))
        for reservation, pieces in held.items():
            stock.give_back(tx, reservation, pieces)
            mark_reversed(tx, reservation, operation.operation_id)
    owed = {None: None, True: request.total_minor, False: 0}[request.charged]
    changes = {**_in_force(request), "total_minor": request.total_minor, "owed_minor": owed}
    tx.execute(_CHANGE, {"order": uid, **changes})


def change_lines(tx: Connection, request: ChangeLines) -> LinesChanged | OrderError:
    """Exchange the order's lines, its total and the pieces that it holds. A refusal is final for this operation id and
    leaves everything as it was. Raises PermanentError if money was asked for other lines, or if those are sold,
    OperationReversed if the lines were changed again since."""
    uid = request.order.uid
    wanted, digest = stock.pieces(request.lines), _digest(request)
    operation = Operation(
        request.order,
        request.operation_id,
        OperationKind.CHANGE_LINES,
        {"pieces": dict(wanted), "lines": digest, "totalMinor": request.total_minor},
        {"replaces": request.replaces},
        remarks_are_hashed=True,
    )
    order = lock(tx, request.order)
    refuse_if_undone(order, operation)
    known = recall(tx, operation)
    if known is not None:
        if known.error is None and order.lines_digest not in (None, digest):
            raise OperationReversed(f"the lines of order {uid} were changed again after {request.operation_id}")
        return known.error or LinesChanged.model_validate(known.outcome)
    refuse_if_completed(order, operation)
    held = stock.held_by(tx, uid)
    if order.forward_only or payments.charge_of(tx, uid) is not None:
        if order.lines_digest != digest:
            raise PermanentError(f"order {uid} is charged already, its lines stay as they are")
        # Not the one that the request names: a run that lost a workflow task may name one that never came to be.
        return LinesChanged(reservation_id=stock.reservation_of(tx, uid))
    if request.replaces is not None:
        stock.refuse_foreign(tx, order, request.replaces)
    before: dict[str, JsonValue] = {"totalMinor": order.total_minor}
    refusal: OrderError | None = stock.unknown_article(tx, request.lines)
    changed, free = LinesChanged(), {}
    if held or request.replaces is not None:
        before["pieces"] = dict(stock.total(held))
        free = stock.lock_free(tx, wanted, given_back=stock.total(held))
        refusal = refusal or stock.shortage(wanted, free)
        changed = LinesChanged(reservation_id=stock.reservation_id(request.operation_id))
    settle(tx, order, operation, None, refusal or changed, before=before)
    if refusal is not None:
        return refusal
    if changed.reservation_id is not None:
        stock.exchange(tx, held, request.operation_id, wanted, free)
    owed = _owed(tx, order, request)
    changes = {**_in_force(request), "total_minor": request.total_minor, "owed_minor": owed}
    tx.execute(_CHANGE, {"order": uid, **changes})
    return changed


_RECEIVE_PARAMS = select(operations.c.params).where(
    operations.c.order_uid == bindparam("order"), operations.c.kind == OperationKind.RECEIVE.value
)


def _owed(tx: Connection, order: LockedOrder, request: ChangeLines) -> int | None:
    """By the new lines. Where nothing was owed for a total of 0, the receipt tells whether the order is charged."""
    if order.owed_minor is None or order.owed_minor > 0:
        return None if order.owed_minor is None else request.total_minor
    if order.total_minor > 0:
        return 0
    params = tx.execute(_RECEIVE_PARAMS, {"order": order.identity.uid}).scalars().first()
    return request.total_minor if (params or {}).get("charged") else 0


def update_status(tx: Connection, request: UpdateStatus) -> Outcome | OrderError:
    """Record how far the order is. Raises PermanentError for a status that cannot follow the present one."""
    operation = Operation(request.order, request.operation_id, OperationKind.UPDATE_STATUS, {"status": request.status})
    order = lock(tx, request.order)
    refuse_if_undone(order, operation)
    known = recall(tx, operation)
    if known is None and order.completed and books.sold_in_part(tx, request.order.uid):
        # Completed without it, since no parcel of the order could be called back: a run that was reset comes by here.
        return Outcome()
    if known is None:
        change_status(tx, order, request.status)
        settle(tx, order, operation, None, Outcome())
    return Outcome()


def close(tx: Connection, request: CloseOrder) -> Outcome | OrderError:
    """Record the final status. An order that was never received, such as a duplicate, has nothing to close. One that
    ends other than completed gives its number back. Raises BooksDisagree for an end that does not fit the books, or
    that is not the one on record."""
    status = OrderStatus(request.status)
    order = lock_if_received(tx, request.order)
    if order is None:
        if request.received:
            raise BooksDisagree(f"order {request.order.uid} was received, but the ledger does not have it")
        return Outcome()
    notes.record(tx, order, request.notes)
    if order.status == status:
        return Outcome()
    refuse_step(order, status)
    books.refuse_end(tx, order, status)
    message = storable(request.message)
    params: dict[str, JsonValue] = {"status": status, "message": message}
    if request.error_type is not None:
        params["errorType"] = request.error_type
    operation = Operation(request.order, request.operation_id, OperationKind.CLOSE, params)
    changes = {"status": status, "message": message}
    statement = _CHANGE if status is OrderStatus.ORDER_COMPLETED else _GIVE_NUMBER_BACK
    tx.execute(statement, {"order": request.order.uid, **changes})
    settle(tx, order, operation, None, Outcome())
    return Outcome()


def storable(text: str | None) -> str | None:
    """Without what PostgreSQL cannot store in a text."""
    return None if text is None else text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def refuse_step(order: LockedOrder, status: str) -> None:
    """Raises BooksDisagree for a status that cannot follow the present one."""
    if status != order.status and status not in NEXT.get(order.status, frozenset()):
        raise BooksDisagree(f"order {order.identity.uid} is at {order.status} and cannot become {status}")


def change_status(tx: Connection, order: LockedOrder, status: str) -> None:
    """Raises BooksDisagree for a status that cannot follow the present one."""
    refuse_step(order, status)
    tx.execute(_CHANGE, {"order": order.identity.uid, "status": status})
