"""Halting an order whose workflow is gone: what it had begun can be undone then without more beginning meanwhile."""

from sqlalchemy import Connection, bindparam, select

from order_domain.errors import DuplicateOrder, OrderError
from order_domain.status import OrderStatus
from order_worker.ledger.locked_order import LockedOrder, lock, lock_if_received
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, State, recall, settle
from order_worker.ledger.orders import change_status, receive
from order_worker.ledger.tables import operations, orders, reservations
from order_workflows.activities.effect import EffectKind, Outcome
from order_workflows.activities.order import BegunEffect, Halted, HaltOrder

_BEGUN = (
    select(operations.c.operation_id, operations.c.kind, operations.c.params)
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
_MESSAGE = select(orders.c.message).where(orders.c.uid == bindparam("order"))


def halt(tx: Connection, request: HaltOrder) -> Halted | OrderError:
    """Tell what is begun, and let nothing more begin, unless the order has ended or has gone too far to be undone. May
    be repeated, and then knows better what is begun."""
    order = lock_if_received(tx, request.order)
    if order is None:
        refusal = receive(tx, request.received)
        if isinstance(refusal, DuplicateOrder):
            return Halted(ended=OrderStatus.ORDER_DUPLICATE, message=str(refusal))
        order = lock(tx, request.order)
    status, begun = OrderStatus(order.status), _begun(tx, request.order.uid)
    if status.terminal and status is not OrderStatus.ORDER_COMPLETED:
        message = tx.execute(_MESSAGE, {"order": request.order.uid}).scalar_one()
        return Halted(ended=status, message=message, begun=begun)
    sold = tx.execute(_SOLD, {"order": request.order.uid}).one_or_none() is not None
    pivot_passed = request.pivot_passed or sold or status is OrderStatus.ORDER_COMPLETED
    if not pivot_passed:
        _halt(tx, order, request)
    return Halted(pivot_passed=pivot_passed, begun=begun)


def _halt(tx: Connection, order: LockedOrder, request: HaltOrder) -> None:
    operation = Operation(request.order, request.operation_id, OperationKind.HALT, {})
    if recall(tx, operation) is None:
        change_status(tx, order, OrderStatus.COMPENSATE_ORDER)
        settle(tx, order, operation, None, Outcome())


def _begun(tx: Connection, order_uid: str) -> list[BegunEffect]:
    return [
        BegunEffect(
            kind=EffectKind.RESERVE if row.kind == OperationKind.CHANGE_LINES else EffectKind(row.kind),
            operation_id=row.operation_id,
            line_id=row.params.get("lineID"),
        )
        for row in tx.execute(_BEGUN, {"order": order_uid})
        # Where pieces are held, a change of lines holds others instead.
        if row.kind != OperationKind.CHANGE_LINES or row.params["replaces"] is not None
    ]
