"""Pieces: free, reserved, sold. Every change is one transaction, and rows are locked in the order of their SKU."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, collate, insert, select, update

from order_domain.errors import (
    BooksDisagree,
    InvalidOrder,
    LinesDiffer,
    OperationConflict,
    OperationReversed,
    OrderError,
    OutOfStock,
    PermanentError,
    UnknownSku,
)
from order_domain.order import OrderLine
from order_worker.ledger.locked_order import LockedOrder, lock, lock_if_received
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import (
    Operation,
    recall,
    refuse_if_completed,
    refuse_if_undone,
    settle,
)
from order_worker.ledger.supply import plan_if_needed
from order_worker.ledger.tables import operations, orders, reservations, stock
from order_worker.ledger.undoing import mark_reversed, prevent
from order_workflows.activities.effect import Outcome
from order_workflows.activities.stock import (
    CheckAvailability,
    CommitStock,
    ReleaseStock,
    Reserved,
    ReserveStock,
    ValidateLines,
)

LOCK_ORDER: dict[str, tuple[ColumnElement[Any], ...]] = {
    "sqlite": (stock.c.sku,),
    "postgresql": (collate(stock.c.sku, "C"),),
}
"""In which order rows of articles are locked, whatever the collation of the database: by code points, as Python sorts
the SKUs of the updates."""

_NAMED = stock.c.sku.in_(bindparam("skus", expanding=True))
_PRESENT = select(stock.c.sku).where(_NAMED)
_FREE = select(stock.c.sku, stock.c.on_hand, stock.c.minimum).where(_NAMED)
_LOCK_FREE = {dialect: _FREE.order_by(*key).with_for_update() for dialect, key in LOCK_ORDER.items()}
_LOCK = {
    dialect: select(stock.c.sku).where(_NAMED).order_by(*key).with_for_update() for dialect, key in LOCK_ORDER.items()
}
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
_OF_ORDER = (
    select(reservations.c.operation_id, reservations.c.sku, reservations.c.quantity)
    .join(operations, operations.c.operation_id == reservations.c.operation_id)
    .where(operations.c.order_uid == bindparam("order"))
)
_HELD = _OF_ORDER.where(reservations.c.state == "held")
_OWN = _OF_ORDER.where(reservations.c.state.in_(["held", "committed"]))
_ONE_OF_OWN = _OWN.limit(1)
_HOLD = insert(reservations)
_CHANGE_ROW = update(reservations).where(
    reservations.c.operation_id == bindparam("reservation"), reservations.c.sku == bindparam("article")
)
_GO_FORWARD = (
    update(orders).where(orders.c.uid == bindparam("order")).values(forward_only=True).returning(orders.c.lines)
)
_END = update(reservations).where(
    reservations.c.operation_id == bindparam("reservation"), reservations.c.state == "held"
)


def validate(tx: Connection, request: ValidateLines) -> Outcome | OrderError:
    """Refuses lines whose article the ledger does not have."""
    return unknown_article(tx, request.lines) or Outcome()


def unknown_article(tx: Connection, lines: Iterable[OrderLine]) -> InvalidOrder | None:
    """Names the lines whose article the ledger does not have."""
    present = set(tx.scalars(_PRESENT, {"skus": list({line.sku for line in lines})}))
    unknown = [f"line {line.line_id} ({line.sku})" for line in lines if line.sku not in present]
    return InvalidOrder(f"unknown article in {', '.join(unknown)}") if unknown else None


def available(tx: Connection, request: CheckAvailability) -> Outcome | OrderError:
    """Whether enough pieces are free now, or the order's own. The next moment it may be otherwise: only `reserve` holds
    them."""
    wanted = pieces(request.lines)
    own = _own(tx, request.order.uid) if request.order is not None else Counter()
    free = {sku: each._replace(pieces=each.pieces + own[sku]) for sku, each in _read_free(tx, _FREE, wanted).items()}
    return shortage(wanted, free) or Outcome()


def reserve(tx: Connection, request: ReserveStock) -> Reserved | OrderError:
    """Hold all lines or none; what the order holds under another operation is exchanged. A refusal is final for this
    operation id, even if pieces come in later, and leaves everything as it was. To an order that waits it is not told
    again: that too few were free then says nothing of now. Raises OperationReversed in its place."""
    wanted = pieces(request.lines)
    operation = Operation(
        request.order,
        request.operation_id,
        OperationKind.RESERVE,
        {"pieces": dict(wanted)},
        {"waits": True} if request.backorder else {},
        request.lines_digest,
    )
    order = lock(tx, request.order)
    refuse_if_undone(order, operation)
    known = recall(tx, operation)
    if known is not None:
        if request.backorder and isinstance(known.error, OutOfStock):
            raise OperationReversed(f"operation {operation.operation_id} was refused before: {known.error}")
        return known.error or Reserved.model_validate(known.outcome)
    refuse_if_completed(order, operation)
    earlier = held_by(tx, request.order.uid)
    free = lock_free(tx, wanted, given_back=total(earlier))
    refusal = shortage(wanted, free)
    if refusal is not None:
        settle(tx, order, operation, None, refusal)
        if request.backorder and isinstance(refusal, OutOfStock):
            plan_if_needed(tx, [sku for sku, count in wanted.items() if free[sku].pieces < count])
        return refusal
    reserved = Reserved(reservation_id=reservation_id(request.operation_id))
    settle(tx, order, operation, None, reserved)
    exchange(tx, earlier, request.operation_id, wanted, free)
    return reserved


def release(tx: Connection, request: ReleaseStock) -> Outcome | OrderError:
    """Give held pieces back, except those that are kept. A reservation that never happened cannot happen afterwards
    either; one whose pieces were given back for other lines has none left. Raises BooksDisagree for pieces that are
    sold already, or where fewer are held than are to be kept."""
    order = lock_if_received(tx, request.order)
    if order is None:
        return Outcome()
    kept = {sku: count for sku, count in sorted(request.kept.items()) if count}
    params: dict[str, JsonValue] = {"reservation": request.reserve_operation_id}
    if kept:
        params["kept"] = dict(kept)
    operation = Operation(request.order, request.operation_id, OperationKind.RELEASE, params)
    if recall(tx, operation) is not None:
        return Outcome()
    if prevent(tx, order, request.reserve_operation_id):
        settle(tx, order, operation, None, Outcome())
        return Outcome()
    rows = _read(tx, order, request.reserve_operation_id)
    held = _still_held(rows, or_already="released")
    missing = [f"{sku} {count}" for sku, count in kept.items() if count > held.get(sku, 0)]
    if missing:
        raise BooksDisagree(
            f"{', '.join(missing)} are to stay held under {request.reserve_operation_id}, the ledger holds "
            f"{', '.join(f'{sku} {count}' for sku, count in held.items()) or 'none'}"
        )
    give_back(tx, request.reserve_operation_id, held, kept=kept)
    if not kept:
        mark_reversed(tx, request.reserve_operation_id, request.operation_id)
    settle(tx, order, operation, None, Outcome())
    return Outcome()


def commit(tx: Connection, request: CommitStock) -> Outcome | OrderError:
    """Turn the pieces that the order holds into sold ones; from now on it goes forward only. Raises PermanentError for
    pieces that are not held, LinesDiffer if they are not those of the lines in force."""
    operation = Operation(
        request.order,
        request.operation_id,
        OperationKind.COMMIT,
        {"reservation": request.reserve_operation_id},
        lines_digest=request.lines_digest,
    )
    order = lock(tx, request.order)
    refuse_if_undone(order, operation)
    try:
        known = recall(tx, operation)
    except OperationConflict:
        # Another run named another reservation: what the order held is sold all the same.
        return Outcome()
    if known is not None or order.completed:
        # Completed without it: every line was sold because no parcel could be called back.
        return Outcome()
    held = held_by(tx, request.order.uid)
    lines = tx.execute(_GO_FORWARD, {"order": request.order.uid}).scalar_one()
    if not held and request.reserve_operation_id is not None:
        _refuse_unheld(tx, order, request.reserve_operation_id)
    if held and lines is not None:
        wanted = pieces(OrderLine.model_validate(line) for line in lines)
        if wanted != total(held):
            raise LinesDiffer(f"order {request.order.uid} holds {total(held)}, its lines in force are {wanted}")
    sell(tx, held)
    settle(tx, order, operation, None, Outcome())
    return Outcome()


def ensure(tx: Connection, wanted: Mapping[str, int]) -> dict[str, bool]:
    """Add the SKUs that the ledger does not have, with that many free pieces; tells which were added. The others are
    left alone: their counts are history."""
    present = set(tx.scalars(_LOCK[tx.dialect.name], {"skus": list(wanted)}))
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
    free = _read_free(tx, _LOCK_FREE[tx.dialect.name], {*wanted, *returned})
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
        plan_if_needed(tx, low)


def exchange(
    tx: Connection,
    earlier: Mapping[str, Mapping[str, int]],
    operation_id: str,
    wanted: Mapping[str, int],
    free: Mapping[str, Free],
) -> None:
    """Hold other pieces in place of those that the order holds. `free` counts the earlier ones as free."""
    for reservation, held in earlier.items():
        give_back(tx, reservation, held)
        mark_reversed(tx, reservation, operation_id)
    hold(tx, operation_id, wanted, free)


def held_by(tx: Connection, order_uid: str) -> dict[str, dict[str, int]]:
    """The pieces that an order holds, by reservation."""
    held: dict[str, dict[str, int]] = {}
    for row in tx.execute(_HELD, {"order": order_uid}):
        held.setdefault(row.operation_id, {})[row.sku] = row.quantity
    return held


def _own(tx: Connection, order_uid: str) -> Counter[str]:
    """The pieces that an order holds or has bought."""
    own: Counter[str] = Counter()
    for row in tx.execute(_OWN, {"order": order_uid}):
        own[row.sku] += row.quantity
    return own


def reservation_of(tx: Connection, order_uid: str) -> str | None:
    """The name of the reservation whose pieces the order holds or has bought."""
    operation_id = tx.execute(_ONE_OF_OWN, {"order": order_uid}).scalars().first()
    return None if operation_id is None else reservation_id(operation_id)


def total(held: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The pieces of all reservations together, in the order of the SKUs."""
    counted: Counter[str] = Counter()
    for each in held.values():
        counted.update(each)
    return dict(sorted(counted.items()))


def give_back(
    tx: Connection, reservation: str, held: Mapping[str, int], *, kept: Mapping[str, int] | None = None
) -> None:
    """Free the pieces that a reservation still holds, except those that are kept."""
    if not kept:
        _end(tx, reservation, held, "released")
        _move(tx, held, on_hand=1, reserved=-1)
        return
    returned = {sku: count - kept.get(sku, 0) for sku, count in held.items()}
    for sku, count in held.items():
        left = kept.get(sku, 0)
        change = {"quantity": left} if left else {"quantity": count, "state": "released"}
        tx.execute(_CHANGE_ROW, {"reservation": reservation, "article": sku, **change})
    _move(tx, {sku: count for sku, count in returned.items() if count}, on_hand=1, reserved=-1)


def sell(tx: Connection, held: Mapping[str, Mapping[str, int]]) -> None:
    """The pieces of these reservations are sold."""
    for reservation, sold in held.items():
        _end(tx, reservation, sold, "committed")
    _move(tx, total(held), reserved=-1, sold=1)


def refuse_foreign(tx: Connection, order: LockedOrder, reservation: str) -> None:
    """Raises OperationConflict for another order's reservation."""
    _read(tx, order, reservation)


def _refuse_unheld(tx: Connection, order: LockedOrder, reservation: str) -> None:
    """Raises PermanentError unless the pieces are sold."""
    rows = _read(tx, order, reservation)
    if not rows:
        raise PermanentError(f"nothing is reserved under {reservation}")
    _still_held(rows, or_already="committed")


def _read(tx: Connection, order: LockedOrder, reservation: str) -> Sequence[Row[Any]]:
    rows = tx.execute(_RESERVATION, {"reservation": reservation}).all()
    if any(row.order_uid != order.identity.uid for row in rows):
        raise OperationConflict(f"reservation {reservation} belongs to order {rows[0].order_uid}")
    return rows


def _still_held(rows: Sequence[Row[Any]], *, or_already: str | None) -> dict[str, int]:
    for row in rows:
        if row.state not in ("held", or_already):
            raise BooksDisagree(f"reservation {row.operation_id} is {row.state}, no longer held")
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
