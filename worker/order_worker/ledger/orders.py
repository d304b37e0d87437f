"""The ledger's record of the order itself."""

from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, bindparam, select, update

from order_domain.errors import DuplicateOrder, OrderError, PermanentError
from order_domain.order import digest
from order_domain.status import OrderStatus
from order_worker.ledger import audit, payments, stock
from order_worker.ledger.database import insert_unless_present
from order_worker.ledger.locked_order import LockedOrder, lock, lock_if_received
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, recall, refuse_if_halted, settle
from order_worker.ledger.tables import orders
from order_workflows.activities.effect import Outcome
from order_workflows.activities.order import ChangeLines, CloseOrder, LinesChanged, ReceiveOrder, UpdateStatus

_ENDS = frozenset(status for status in OrderStatus if status.terminal)

NEXT: dict[str, frozenset[str]] = {
    OrderStatus.ORDER_RECEIVED: _ENDS | {OrderStatus.UPDATE_ORDER_STATUS, OrderStatus.COMPENSATE_ORDER},
    OrderStatus.UPDATE_ORDER_STATUS: _ENDS | {OrderStatus.COMPENSATE_ORDER},
    OrderStatus.COMPENSATE_ORDER: _ENDS,
}
"""Where an order may go from each status; an end is final. A trigger of the database holds the same."""

_ADD = insert_unless_present(orders, orders.c.uid)
_FIRST = select(orders.c.namespace, orders.c.name).where(
    orders.c.namespace == bindparam("order_namespace"), orders.c.order_id == bindparam("number")
)
_CHANGE = update(orders).where(orders.c.uid == bindparam("order"))


def receive(tx: Connection, request: ReceiveOrder) -> Outcome | OrderError:
    """Make the order known. The same uid again is the same order; another uid under the same order number is a
    duplicate. Raises OperationConflict if the same uid comes with other data."""
    operation = Operation(
        request.order,
        request.operation_id,
        OperationKind.RECEIVE,
        {
            "orderID": request.order_id,
            "customerID": request.customer_id,
            "currency": request.currency,
            "totalMinor": request.total_minor,
        },
    )
    if _insert(tx, request):
        status = OrderStatus.ORDER_RECEIVED
        order = LockedOrder(request.order, status, request.total_minor, last_seq=0, last_hash=audit.GENESIS)
        settle(tx, order, operation, None, Outcome())
        return Outcome()
    if lock_if_received(tx, request.order) is None:
        number = {"order_namespace": request.order.namespace, "number": request.order_id}
        first = tx.execute(_FIRST, number).one()
        return DuplicateOrder(request.order_id, f"{first.namespace}/{first.name}")
    recall(tx, operation)
    return Outcome()


def _insert(tx: Connection, request: ReceiveOrder) -> bool:
    """False if the uid or the order number is there already; waits for a transaction that is about to insert it."""
    now = datetime.now(UTC)
    row = {
        "uid": request.order.uid,
        "namespace": request.order.namespace,
        "name": request.order.name,
        "order_id": request.order_id,
        "customer_id": request.customer_id,
        "currency": request.currency,
        "total_minor": request.total_minor,
        "status": OrderStatus.ORDER_RECEIVED,
        "last_seq": 0,
        "last_hash": audit.GENESIS,
        "created_at": now,
        "updated_at": now,
    }
    return tx.execute(_ADD[tx.dialect.name], row).one_or_none() is not None


def change_lines(tx: Connection, request: ChangeLines) -> LinesChanged | OrderError:
    """Exchange the order's total and, where pieces are held, the reservation. A refusal is final for this operation id
    and leaves everything as it was. Raises PermanentError if the reservation is not held any more, or if money was
    asked for the lines in force."""
    wanted = stock.pieces(request.lines)
    operation = Operation(
        request.order,
        request.operation_id,
        OperationKind.CHANGE_LINES,
        {
            "pieces": dict(wanted),
            "lines": digest(request.lines),
            "totalMinor": request.total_minor,
            "replaces": request.replaces,
        },
    )
    order = lock(tx, request.order)
    known = recall(tx, operation)
    if known is not None:
        return known.error or LinesChanged.model_validate(known.outcome)
    refuse_if_halted(order, operation)
    if payments.charge_of(tx, request.order.uid) is not None:
        raise PermanentError(f"order {request.order.uid} is charged already, its lines stay as they are")
    before: dict[str, JsonValue] = {"totalMinor": order.total_minor}
    if request.replaces is None:
        refusal: OrderError | None = stock.unknown_article(tx, request.lines)
        changed = LinesChanged()
    else:
        held = stock.held(tx, order, request.replaces)
        before["pieces"] = dict(held)
        free = stock.lock_free(tx, wanted, given_back=held)
        refusal = stock.unknown_article(tx, request.lines) or stock.shortage(wanted, free)
        changed = LinesChanged(reservation_id=stock.reservation_id(request.operation_id))
    if refusal is not None:
        settle(tx, order, operation, None, refusal, before=before)
        return refusal
    settle(tx, order, operation, None, changed, before=before)
    if request.replaces is not None:
        stock.give_back(tx, request.replaces, held)
        stock.hold(tx, request.operation_id, wanted, free)
    tx.execute(_CHANGE, {"order": request.order.uid, "total_minor": request.total_minor})
    return changed


def update_status(tx: Connection, request: UpdateStatus) -> Outcome | OrderError:
    """Record how far the order is. Raises PermanentError for a status that cannot follow the present one."""
    operation = Operation(request.order, request.operation_id, OperationKind.UPDATE_STATUS, {"status": request.status})
    order = lock(tx, request.order)
    if recall(tx, operation) is None:
        change_status(tx, order, request.status)
        settle(tx, order, operation, None, Outcome())
    return Outcome()


def close(tx: Connection, request: CloseOrder) -> Outcome | OrderError:
    """Record the final status. An order that was never received, such as a duplicate, has nothing to close. Raises
    PermanentError for an order that has ended otherwise."""
    operation = Operation(
        request.order,
        request.operation_id,
        OperationKind.CLOSE,
        {"status": request.status, "message": request.message},
    )
    order = lock_if_received(tx, request.order)
    if order is None:
        return Outcome()
    if recall(tx, operation) is None:
        change_status(tx, order, request.status, message=request.message)
        settle(tx, order, operation, None, Outcome())
    return Outcome()


def change_status(tx: Connection, order: LockedOrder, status: str, **changes: Any) -> None:
    """Raises PermanentError for a status that cannot follow the present one."""
    if status != order.status and status not in NEXT.get(order.status, frozenset()):
        raise PermanentError(f"order {order.identity.uid} is at {order.status} and cannot become {status}")
    tx.execute(_CHANGE, {"order": order.identity.uid, "status": status, **changes})
