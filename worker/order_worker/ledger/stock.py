"""Pieces: free, reserved, sold. Every change is one transaction, and rows are locked in the order of their SKU."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, insert, select, update

from order_domain.errors import InvalidOrder, OrderError, OutOfStock, PermanentError, UnknownSku
from order_domain.order import OrderLine
from order_worker.ledger.operations import Operation, lock_order, prevent, recall, settle
from order_worker.ledger.tables import reservations, stock
from order_workflows.activities import CommitStock, Outcome, ReleaseStock, Reserved, ReserveStock, ValidateLines


def validate(tx: Connection, request: ValidateLines) -> Outcome | OrderError:
    """Refuses lines whose article the ledger does not have."""
    known = set(tx.scalars(select(stock.c.sku).where(stock.c.sku.in_(_pieces(request.lines)))))
    unknown = [f"line {line.line_id} ({line.sku})" for line in request.lines if line.sku not in known]
    return InvalidOrder(f"unknown article in {', '.join(unknown)}") if unknown else Outcome()


def reserve(tx: Connection, request: ReserveStock) -> Reserved | OrderError:
    """Hold all lines or none. A refusal is final for this operation id, even if pieces come in later."""
    wanted = _pieces(request.lines)
    operation = Operation(request.order, request.operation_id, "reserve", {"pieces": dict(wanted)})
    known = recall(tx, operation)
    if known is not None:
        return known.error or Reserved.model_validate(known.outcome)
    shortage = _shortage(tx, wanted)
    if shortage is not None:
        settle(tx, operation, None, shortage)
        return shortage
    reserved = Reserved(reservation_id=_reservation_id(request.operation_id))
    settle(tx, operation, None, reserved)
    tx.execute(
        insert(reservations),
        [
            {"operation_id": request.operation_id, "sku": sku, "quantity": quantity, "state": "held"}
            for sku, quantity in wanted.items()
        ],
    )
    _move(tx, wanted, on_hand=-1, reserved=1)
    return reserved


def _pieces(lines: Iterable[OrderLine]) -> dict[str, int]:
    pieces: Counter[str] = Counter()
    for line in lines:
        pieces[line.sku] += line.quantity
    return dict(sorted(pieces.items()))


def _reservation_id(operation_id: str) -> str:
    return f"RES-{hashlib.sha256(operation_id.encode()).hexdigest()[:12]}"


def _shortage(tx: Connection, wanted: Mapping[str, int]) -> UnknownSku | OutOfStock | None:
    free = {
        row.sku: row.on_hand
        for row in tx.execute(
            select(stock.c.sku, stock.c.on_hand).where(stock.c.sku.in_(wanted)).order_by(stock.c.sku).with_for_update()
        )
    }
    unknown = [sku for sku in wanted if sku not in free]
    if unknown:
        return UnknownSku(f"not in stock ledger: {', '.join(unknown)}")
    short = [f"{sku} (wanted {wanted[sku]}, free {free[sku]})" for sku in wanted if free[sku] < wanted[sku]]
    return OutOfStock(f"not enough pieces of {', '.join(short)}") if short else None


def _move(tx: Connection, pieces: Mapping[str, int], *, on_hand: int = 0, reserved: int = 0, sold: int = 0) -> None:
    """Each of the three counts changes by its factor times the pieces."""
    if not pieces:
        return
    tx.execute(
        update(stock)
        .where(stock.c.sku == bindparam("key"))
        .values(
            on_hand=stock.c.on_hand + on_hand * bindparam("pieces"),
            reserved=stock.c.reserved + reserved * bindparam("pieces"),
            sold=stock.c.sold + sold * bindparam("pieces"),
        ),
        [{"key": sku, "pieces": quantity} for sku, quantity in sorted(pieces.items())],
    )


def release(tx: Connection, request: ReleaseStock) -> Outcome | OrderError:
    """Give held pieces back. A reservation that never happened cannot happen afterwards either. Raises PermanentError
    for pieces that are sold already."""
    if not lock_order(tx, request.order):
        return Outcome()
    operation = Operation(request.order, request.operation_id, "release", {"reservation": request.reserve_operation_id})
    known = recall(tx, operation)
    if known is None:
        if not prevent(tx, request.order, request.reserve_operation_id):
            _move(tx, _held(tx, request.reserve_operation_id, becoming="released"), on_hand=1, reserved=-1)
        settle(tx, operation, None, Outcome())
    return Outcome()


def commit(tx: Connection, request: CommitStock) -> Outcome | OrderError:
    """Turn held pieces into sold ones. Raises PermanentError for pieces that are not held."""
    operation = Operation(request.order, request.operation_id, "commit", {"reservation": request.reserve_operation_id})
    known = recall(tx, operation)
    if known is None:
        _move(tx, _held(tx, request.reserve_operation_id, becoming="committed"), reserved=-1, sold=1)
        settle(tx, operation, None, Outcome())
    return Outcome()


def _held(tx: Connection, reserve_operation_id: str, *, becoming: str) -> dict[str, int]:
    """The pieces of a reservation that are still held, which end up in the state `becoming`."""
    rows = tx.execute(select(reservations).where(reservations.c.operation_id == reserve_operation_id)).all()
    if not rows:
        raise PermanentError(f"nothing is reserved under {reserve_operation_id}")
    if any(row.state not in ("held", becoming) for row in rows):
        raise PermanentError(f"reservation {reserve_operation_id} is {rows[0].state} and cannot become {becoming}")
    tx.execute(
        update(reservations)
        .where(reservations.c.operation_id == reserve_operation_id, reservations.c.state == "held")
        .values(state=becoming)
    )
    return {row.sku: row.quantity for row in rows if row.state == "held"}


def ensure(tx: Connection, wanted: Mapping[str, int]) -> dict[str, bool]:
    """Add the SKUs that the ledger does not have, with that many free pieces; tells which were added. The others are
    left alone: their counts are history."""
    present = set(tx.scalars(select(stock.c.sku).where(stock.c.sku.in_(wanted)).with_for_update()))
    missing = [sku for sku in wanted if sku not in present]
    if missing:
        tx.execute(
            insert(stock),
            [
                {"sku": sku, "initial": wanted[sku], "restocked": 0, "on_hand": wanted[sku], "reserved": 0, "sold": 0}
                for sku in missing
            ],
        )
    return {sku: sku in missing for sku in wanted}
