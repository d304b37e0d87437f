"""The ledger's record of the order itself."""

from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from order_domain.errors import DuplicateOrder, OrderError
from order_domain.status import OrderStatus
from order_worker.ledger import audit
from order_worker.ledger.operations import Operation, lock_order, recall, settle
from order_worker.ledger.tables import orders
from order_workflows.activities import CloseOrder, Outcome, ReceiveOrder


def receive(tx: Connection, request: ReceiveOrder) -> Outcome | OrderError:
    """Make the order known. The same uid again is the same order; another uid under the same order number is a
    duplicate. Raises OperationConflict if the same uid comes with other data."""
    operation = Operation(
        request.order,
        request.operation_id,
        "receive",
        {
            "orderID": request.order_id,
            "customerID": request.customer_id,
            "currency": request.currency,
            "totalMinor": request.total_minor,
        },
    )
    if not lock_order(tx, request.order):
        taken = _insert(tx, request)
        if taken is not None:
            return taken
    known = recall(tx, operation)
    if known is None:
        settle(tx, operation, None, Outcome())
    return Outcome()


def _insert(tx: Connection, request: ReceiveOrder) -> DuplicateOrder | None:
    now = datetime.now(UTC)
    try:
        with tx.begin_nested():
            tx.execute(
                insert(orders).values(
                    uid=request.order.uid,
                    namespace=request.order.namespace,
                    name=request.order.name,
                    order_id=request.order_id,
                    customer_id=request.customer_id,
                    currency=request.currency,
                    total_minor=request.total_minor,
                    status=OrderStatus.ORDER_RECEIVED,
                    last_seq=0,
                    last_hash=audit.GENESIS,
                    created_at=now,
                    updated_at=now,
                )
            )
    except IntegrityError:
        first = tx.execute(
            select(orders.c.namespace, orders.c.name).where(
                orders.c.namespace == request.order.namespace, orders.c.order_id == request.order_id
            )
        ).one_or_none()
        if first is None:
            raise
        return DuplicateOrder(request.order_id, f"{first.namespace}/{first.name}")
    return None


def close(tx: Connection, request: CloseOrder) -> Outcome | OrderError:
    """Record the final status. An order that was never received, such as a duplicate, has nothing to close."""
    if not lock_order(tx, request.order):
        return Outcome()
    operation = Operation(
        request.order,
        request.operation_id,
        "close",
        {"status": request.status, "message": request.message},
    )
    known = recall(tx, operation)
    if known is None:
        tx.execute(
            update(orders)
            .where(orders.c.uid == request.order.uid)
            .values(status=request.status, message=request.message)
        )
        settle(tx, operation, None, Outcome())
    return Outcome()
