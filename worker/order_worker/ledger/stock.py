"""Pieces: free, reserved, sold. Every change is one transaction, and rows are locked in the order of their SKU."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, update

from order_domain.errors import InvalidOrder, OperationConflict, OrderError, OutOfStock, PermanentError, UnknownSku
from order_domain.order import OrderLine
from order_worker.ledger.locked_order import LockedOrder, lock, lock_if_received
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, prevent, recall, refuse_if_halted, settle
from order_worker.ledger.supply import plan_if_low
from order_worker.ledger.tables import operations, reservations, stock
from order_workflows.activities.effect import Outcome
from order_workflows.activities.stock import (
    CheckAvailability,
    CommitStock,
    ReleaseStock,
    Reserved,
    ReserveStock,
    ValidateLines,
)

_NAMED = stock.c.sku.in_(bindparam("skus", expanding=True))
_PRESENT = select(stock.c.sku).where(_NAMED)
_FREE = select(stock.c.sku, stock.c.on_hand, stock.c.minimum).where(_NAMED).order_by(stock.c.sku)
_LOCK_FREE = _FREE.with_for_update()
_MOVE = (
    update(stock)
    .where(stock.c.sku == bindparam("article"))
    .values(
        on_hand=stock.c.on_hand + bindparam("to_on_hand", type_=stock.c.on_hand.type),
        reserved=stock.c.reserved + bindparam("to_reserved", type_=stock.c.reserved.type),
        sold=stock.c.sold + bindparam("to_sold", type_=stock.c.sold.type),
    )
)
_RESERVATION = (
    select(reservations, operations.c.order_uid)
    .join(operations, operations.c.operation_id == reservations.c.operation_id)
    .where(reservations.c.operation_id == bindparam("reservation"))
)
_HOLD = insert(reservations)
_END = update(reservations).where(reservations.c.operation_id == bindparam("reservation"))


def validate(tx: Connection, request: ValidateLines) -> Outcome | OrderError:
    """Refuses lines whose article the ledger does not have."""
    return unknown_article(tx, request.lines) or Outcome()


def unknown_article(tx: Connection, lines: Iterable[OrderLine]) -> InvalidOrder | None:
    """Names the lines whose article the ledger does not have."""
    present = set(tx.scalars(_PRESENT, {"skus": list({line.sku for line in lines})}))
    unknown = [f"line {line.line_id} ({line.sku})" for line in lines if line.sku not in present]
    return InvalidOrder(f"unknown article in {', '.join(unknown)}") if unknown else None


def available(tx: Connection, request: CheckAvailability) -> Outcome | OrderError:
    """Whether enough pieces are free now. The next moment it may be otherwise: only `reserve` holds them."""
    wanted = pieces(request.lines)
    return shortage(wanted, _read_free(tx, _FREE, wanted)) or Outcome()


def reserve(tx: Connection, request: ReserveStock) -> Reserved | OrderError:
    """Hold all lines or none. A refusal is final for this operation id, even if pieces come in later."""
    wanted = pieces(request.lines)
    operation = Operation(request.order, request.operation_id, OperationKind.RESERVE, {"pieces": dict(wanted)})
    order = lock(tx, request.order)
    known = recall(tx, operation)
    if known is not None:
        return known.error or Reserved.model_validate(known.outcome)
    refuse_if_halted(order, operation)
    free = lock_free(tx, wanted)
    refusal = shortage(wanted, free)
    if refusal is not None:
        settle(tx, order, operation, None, refusal)
        return refusal
    reserved = Reserved(reservation_id=reservation_id(request.operation_id))
    settle(tx, order, operation, None, reserved)
    hold(tx, request.operation_id, wanted, free)
    return reserved


def release(tx: Connection, request: ReleaseStock) -> Outcome | OrderError:
    """Give held pieces back. A reservation that never happened cannot happen afterwards either; one whose pieces were
    given back for other lines has none left. Raises PermanentError for pieces that are sold already."""
    order = lock_if_received(tx, request.order)
    if order is None:
        return Outcome()
    operation = Operation(
        request.order, request.operation_id, OperationKind.RELEASE, {"reservation": request.reserve_operation_id}
    )
    if recall(tx, operation) is None:
        if not prevent(tx, order, request.reserve_operation_id):
            reservation = _read(tx, order, request.reserve_operation_id)
            give_back(tx, request.reserve_operation_id, _still_held(reservation, or_already="released"))
        settle(tx, order, operation, None, Outcome())
    return Outcome()


def commit(tx: Connection, request: CommitStock) -> Outcome | OrderError:
    """Turn held pieces into sold ones. Raises PermanentError for pieces that are not held."""
    operation = Operation(
        request.order, request.operation_id, OperationKind.COMMIT, {"reservation": request.reserve_operation_id}
    )
    order = lock(tx, request.order)
    if recall(tx, operation) is None:
        refuse_if_halted(order, operation)
        if request.reserve_operation_id is not None:
            sold = held(tx, order, request.reserve_operation_id, or_already="committed")
            _end(tx, request.reserve_operation_id, sold, "committed")
            _move(tx, sold, reserved=-1, sold=1)
        settle(tx, order, operation, None, Outcome())
    return Outcome()


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


def pieces(lines: Iterable[OrderLine]) -> dict[str, int]:
    """How many of each article, in the order of the SKUs."""
    wanted: Counter[str] = Counter()
    for line in lines:
        wanted[line.sku] += line.quantity
    return dict(sorted(wanted.items()))


def reservation_id(operation_id: str) -> str:
    """The name under which people know the reservation."""
    return f"RES-{hashlib.sha256(operation_id.encode()).hexdigest()[:12]}"


class Free(NamedTuple):
    """What is free of an article."""

    pieces: int
    minimum: int
    """Fewer are too few; 0 for an article that is kept by no rules."""


def lock_free(
    tx: Connection, wanted: Mapping[str, int], *, given_back: Mapping[str, int] | None = None
) -> dict[str, Free]:
    """What would be free of the articles if the pieces `given_back` were. Locks both articles until the transaction
    ends; leaves out those that the ledger does not have."""
    returned = given_back or {}
    free = _read_free(tx, _LOCK_FREE, {*wanted, *returned})
    return {sku: each._replace(pieces=each.pieces + returned.get(sku, 0)) for sku, each in free.items()}


def shortage(wanted: Mapping[str, int], free: Mapping[str, Free]) -> UnknownSku | OutOfStock | None:
    """Why `wanted` cannot be held."""
    unknown = [sku for sku in wanted if sku not in free]
    if unknown:
        return UnknownSku(f"not in stock ledger: {', '.join(unknown)}")
    short = [
        f"{sku} (wanted {wanted[sku]}, free {free[sku].pieces})" for sku in wanted if free[sku].pieces < wanted[sku]
    ]
    return OutOfStock(f"not enough pieces of {', '.join(short)}") if short else None


def hold(tx: Connection, operation_id: str, wanted: Mapping[str, int], free: Mapping[str, Free]) -> None:
    """Reserve the pieces under an operation that is written already, and see to it that more come where too few are
    left of what `lock_free` said."""
    tx.execute(
        _HOLD,
        [
            {"operation_id": operation_id, "sku": sku, "quantity": quantity, "state": "held"}
            for sku, quantity in wanted.items()
        ],
    )
    _move(tx, wanted, on_hand=-1, reserved=1)
    low = [sku for sku, count in wanted.items() if free[sku].pieces - count < free[sku].minimum]
    if low:
        plan_if_low(tx, low)


def held(tx: Connection, order: LockedOrder, reservation: str, *, or_already: str | None = None) -> dict[str, int]:
    """The pieces of a reservation; none if they are `or_already`. Raises PermanentError for a reservation that is
    neither, or that never was."""
    rows = _read(tx, order, reservation)
    if not rows:
        raise PermanentError(f"nothing is reserved under {reservation}")
    return _still_held(rows, or_already=or_already)


def give_back(tx: Connection, reservation: str, returned: Mapping[str, int]) -> None:
    """Free the pieces that a reservation still holds."""
    _end(tx, reservation, returned, "released")
    _move(tx, returned, on_hand=1, reserved=-1)


def _read(tx: Connection, order: LockedOrder, reservation: str) -> Sequence[Row[Any]]:
    rows = tx.execute(_RESERVATION, {"reservation": reservation}).all()
    if any(row.order_uid != order.identity.uid for row in rows):
        raise OperationConflict(f"reservation {reservation} belongs to order {rows[0].order_uid}")
    return rows


def _still_held(rows: Sequence[Row[Any]], *, or_already: str | None) -> dict[str, int]:
    for row in rows:
        if row.state not in ("held", or_already):
            raise PermanentError(f"reservation {row.operation_id} is {row.state}, no longer held")
    return {row.sku: row.quantity for row in rows if row.state == "held"}


def _end(tx: Connection, reservation: str, ended: Mapping[str, int], state: str) -> None:
    if ended:
        tx.execute(_END, {"reservation": reservation, "state": state})


def _read_free(tx: Connection, statement: Select[Any], skus: Iterable[str]) -> dict[str, Free]:
    return {row.sku: Free(row.on_hand, row.minimum or 0) for row in tx.execute(statement, {"skus": list(skus)})}


def _move(tx: Connection, moved: Mapping[str, int], *, on_hand: int = 0, reserved: int = 0, sold: int = 0) -> None:
    """Each of the three counts changes by its factor times the pieces."""
    if moved:
        tx.execute(
            _MOVE,
            [
                {
                    "article": sku,
                    "to_on_hand": on_hand * count,
                    "to_reserved": reserved * count,
                    "to_sold": sold * count,
                }
                for sku, count in sorted(moved.items())
            ],
        )
