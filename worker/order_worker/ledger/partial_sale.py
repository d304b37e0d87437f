"""Selling those lines of a halted order whose parcels cannot be called back."""

from sqlalchemy import Connection, bindparam, select, update

from order_domain.allocation import owed_minor
from order_domain.errors import BooksDisagree, OrderError, PermanentError
from order_domain.order import OrderCharge, OrderLine, lines_digest
from order_domain.status import OrderStatus
from order_worker.ledger import payments, stock
from order_worker.ledger.locked_order import lock
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, recall, settle
from order_worker.ledger.tables import operations, orders, reservations
from order_workflows.activities.order import LinesSold, SellLines

_LINES = select(orders.c.lines, orders.c.charges).where(orders.c.uid == bindparam("order"))
_EVER_HELD = (
    select(reservations.c.operation_id)
    .join(operations, operations.c.operation_id == reservations.c.operation_id)
    .where(operations.c.order_uid == bindparam("order"))
    .limit(1)
)
_CHANGE = update(orders).where(orders.c.uid == bindparam("order"))


def sell_lines(tx: Connection, request: SellLines) -> LinesSold | OrderError:
    """Let the order be for these lines alone, owe what they cost and have their units sold. Raises BooksDisagree if the
    units that it still holds are not those."""
    uid = request.order.uid
    operation = Operation(
        request.order, request.operation_id, OperationKind.SELL_LINES, {"lines": [*sorted(request.line_ids)]}
    )
    order = lock(tx, request.order)
    known = recall(tx, operation)
    if known is not None:
        return known.error or LinesSold.model_validate(known.outcome)
    if order.status != OrderStatus.COMPENSATE_ORDER:
        raise PermanentError(f"order {uid} is at {order.status}: only a halted order is sold in part")
    row = tx.execute(_LINES, {"order": uid}).one()
    if row.lines is None:
        raise BooksDisagree(f"the ledger does not know the lines of order {uid}, of which {request.line_ids} are sold")
    sold = [line for line in row.lines if line["lineID"] in request.line_ids]
    if len(sold) != len(set(request.line_ids)):
        raise BooksDisagree(f"of the lines {request.line_ids} the ledger has {[line['lineID'] for line in sold]}")
    held = stock.held_by(tx, uid)
    charges = [OrderCharge.model_validate(charge) for charge in row.charges or []]
    all_lines = [OrderLine.model_validate(line) for line in row.lines]
    total_minor = owed_minor(all_lines, charges, request.line_ids, order.currency)
    owed = total_minor if payments.is_charged(order) else 0
    lines = [OrderLine.model_validate(line) for line in sold]
    wanted = stock.pieces(lines)
    if stock.total(held) != wanted and (held or tx.execute(_EVER_HELD, {"order": uid}).first() is not None):
        raise BooksDisagree(f"order {uid} holds {stock.total(held)}, the sold lines are {wanted}")
    stock.sell(tx, held)
    outcome = LinesSold(total_minor=total_minor, owed_minor=owed)
    settle(tx, order, operation, None, outcome, before={"totalMinor": order.total_minor, "owedMinor": order.owed_minor})
    in_force = {"lines": sold, "lines_digest": lines_digest(lines, charges), "total_minor": total_minor}
    tx.execute(_CHANGE, {"order": uid, **in_force, "owed_minor": None if order.owed_minor is None else owed})
    return outcome
