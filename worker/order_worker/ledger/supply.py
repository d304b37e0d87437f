"""Keeping an article in stock: its rules, its orders at the supplier, and the orders that wait for it.

What leaves too few free pieces, or too few for an order that waits, plans the supplier order in the same transaction,
with the article locked. A supplier order passes `planned` -> `placed` -> `delivered`, and the next one is planned at
the earliest when it is delivered: a unique index holds that there is one open order per article at most.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    bindparam,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from order_domain.errors import OutOfStock, PermanentError
from order_domain.status import OrderStatus
from order_domain.stock_item import SupplierOrderRecord
from order_worker.ledger.database import insert_unless_present
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.tables import operations, orders, reservations, stock, supplier_orders
from order_workflows.activities.stock_item import KeepStock, StockLevel
from order_workflows.contract import RunKey

T = TypeVar("T")

WOKEN = 200
"""Orders that one look at an article tells to try again, at most; each is a message to a workflow."""

CONSIDERED = 1_000
"""Waiting orders of an article that one look considers, the longest-waiting ones."""

NOT_HEARD = "nobody waits for it"
"""What a shortage is reversed by whose order has no open workflow."""


class State(StrEnum):
    """How far a supplier order is."""

    PLANNED = "planned"
    PLACED = "placed"
    DELIVERED = "delivered"


@dataclass(frozen=True)
class SupplierOrderRow:
    """What the ledger holds of an order at the supplier."""

    id: str
    sku: str
    quantity: int
    state: State
    expected_at: datetime | None


_ADD_ARTICLE = insert_unless_present(stock, stock.c.sku)
_LOCK_ARTICLE = select(stock).where(stock.c.sku == bindparam("article")).with_for_update()
_CHANGE_ARTICLE = update(stock).where(stock.c.sku == bindparam("article"))
_RESTOCK = _CHANGE_ARTICLE.values(
    on_hand=stock.c.on_hand + bindparam("delivered", type_=stock.c.on_hand.type),
    restocked=stock.c.restocked + bindparam("delivered", type_=stock.c.on_hand.type),
)

_ORDER = select(supplier_orders).where(supplier_orders.c.id == bindparam("supplier_order"))
_CHANGE_ORDER = update(supplier_orders).where(supplier_orders.c.id == bindparam("supplier_order"))
_OPEN = select(supplier_orders).where(
    supplier_orders.c.sku == bindparam("article"), supplier_orders.c.state != literal("delivered", literal_execute=True)
)
_ORDERED_BEFORE = select(func.count()).where(supplier_orders.c.sku == stock.c.sku).correlate(stock).scalar_subquery()
_KEPT = select(
    stock.c.sku, stock.c.on_hand, stock.c.minimum, stock.c.target, _ORDERED_BEFORE.label("ordered_before")
).where(
    stock.c.sku.in_(bindparam("skus", expanding=True)),
    stock.c.minimum.is_not(None),
    ~exists().where(
        supplier_orders.c.sku == stock.c.sku, supplier_orders.c.state != literal("delivered", literal_execute=True)
    ),
)
_PLAN = insert(supplier_orders)

_FREE = select(stock.c.sku, stock.c.on_hand).where(stock.c.sku.in_(bindparam("skus", expanding=True)))
_RESERVATION = (
    operations.c.order_uid == orders.c.uid,
    operations.c.kind == literal(OperationKind.RESERVE.value, literal_execute=True),
)
_HOLDS = (
    operations.c.order_uid == orders.c.uid,
    operations.c.kind.in_([OperationKind.RESERVE.value, OperationKind.CHANGE_LINES.value]),
    operations.c.state == "done",
    operations.c.reversed_by.is_(None),
    # A change of lines holds pieces only where others were held before.
    exists().where(reservations.c.operation_id == operations.c.operation_id).correlate(operations),
)
# These values stand in the statement itself: only then do the databases use their partial indexes.
_SHORTAGE = (
    *_RESERVATION,
    operations.c.error_type == literal(OutOfStock.__name__, literal_execute=True),
    operations.c.reversed_by.is_(None),
)
_OPEN_ORDER = orders.c.status == literal(OrderStatus.ORDER_RECEIVED.value, literal_execute=True)


def _first(column: ColumnElement[T], order: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[T]:
    # As a value, not as a join: the databases are to look from each open order at its few shortages, and never at those
    # of ended orders, of which there are ever more.
    chosen = select(column).where(*conditions).order_by(order).limit(1)
    return chosen.correlate(orders).scalar_subquery()


_WANTED = _first(operations.c.params, operations.c.created_at.desc(), *_SHORTAGE)
_WAITING = (
    select(orders.c.namespace, orders.c.name, orders.c.uid, _WANTED.label("params"))
    .where(
        _OPEN_ORDER,
        _first(operations.c.operation_id, operations.c.created_at, *_HOLDS).is_(None),
    )
    .order_by(_first(operations.c.created_at, operations.c.created_at, *_SHORTAGE), orders.c.uid)
    .limit(CONSIDERED)
)


def keep(tx: Connection, request: KeepStock) -> StockLevel:
    """Put the article under these rules, order what is missing by them, and count. An article that the ledger does not
    have begins with `initial_on_hand` pieces; the counts of one that it has are history. The rules of the workflow that
    kept it first stay until that lets it go, or is followed by this one."""
    row = {"sku": request.sku, "initial": request.initial_on_hand, "on_hand": request.initial_on_hand}
    tx.execute(_ADD_ARTICLE[tx.dialect.name], {**row, "restocked": 0, "reserved": 0, "sold": 0})
    # Before the article is locked, since it may take long with thousands of open orders.
    backorders = bool(waiting(tx, request.sku))
    article = tx.execute(_LOCK_ARTICLE, {"article": request.sku}).one()
    if _kept_by_another(article, request.keeper, request.follows):
        return _level(tx, article, backorders=False, kept_by=article.keeper)
    rules = {"minimum": request.minimum, "target": request.target, "keeper": request.keeper or article.keeper}
    if any(getattr(article, name) != value for name, value in rules.items()):
        tx.execute(_CHANGE_ARTICLE, {"article": request.sku, **rules})
    unlisted = _put_back(tx, request.sku, request.on_order)
    plan_if_needed(tx, [request.sku])
    return _level(tx, article, backorders=backorders, unlisted=unlisted)


def _put_back(tx: Connection, sku: str, known: SupplierOrderRecord | None) -> bool:
    """Let the ledger have the open order at the supplier that the article's keeper knows of. A ledger that was restored
    from a backup lacks it, and would order the same pieces again. What was planned since in its place, under its
    number, gives way: the supplier was not asked for that, or its keeper would know. True where another order is open:
    it may be one from before, or one in the place of what the ledger has lost."""
    if known is None or tx.execute(_ORDER, {"supplier_order": known.id}).one_or_none() is not None:
        return False
    row = {
        "id": known.id,
        "quantity": known.quantity,
        "state": State.PLANNED if known.placed_at is None else State.PLACED,
        "expected_at": known.expected_at,
        "placed_at": known.placed_at,
    }
    other = tx.execute(_OPEN, {"article": sku}).one_or_none()
    if other is None:
        tx.execute(_PLAN, {**row, "sku": sku, "created_at": datetime.now(UTC)})
        return False
    if other.state != State.PLANNED or _number(sku, other.id) != _number(sku, known.id):
        return True
    tx.execute(_CHANGE_ORDER.values(row), {"supplier_order": other.id})
    return False


def _number(sku: str, supplier_order: str) -> str:
    return supplier_order.removeprefix(f"{sku}/").partition("/")[0]


def let_go(
    tx: Connection, sku: str, keeper: str | None = None, on_order: SupplierOrderRecord | None = None
) -> StockLevel:
    """Keep the article by no rules any more, if they are those of `keeper`. Its counts stay, and so does an order at
    the supplier, even one that is only planned. An article that the ledger does not have counts as empty."""
    backorders = bool(waiting(tx, sku))
    article = tx.execute(_LOCK_ARTICLE, {"article": sku}).one_or_none()
    if article is None:
        return StockLevel(on_hand=0, reserved=0, sold=0)
    if _kept_by_another(article, keeper):
        return _level(tx, article, backorders=False, kept_by=article.keeper)
    tx.execute(_CHANGE_ARTICLE, {"article": sku, "minimum": None, "target": None, "keeper": None})
    unlisted = _put_back(tx, sku, on_order)
    return _level(tx, article, backorders=backorders, unlisted=unlisted)


def _kept_by_another(article: Row[Any], keeper: str | None, follows: str | None = None) -> bool:
    kept = article.minimum is not None and article.keeper is not None
    return kept and keeper is not None and article.keeper not in (keeper, follows)


def plan_if_needed(tx: Connection, skus: Iterable[str]) -> None:
    """Plan a supplier order for each of the articles, which must be locked, that is kept by rules, has nothing on order
    and has fewer free pieces than its minimum, or than the orders want that wait for it. It brings the free pieces to
    the target or, where that is more, to what the waiting orders want."""
    planned = []
    for article in tx.execute(_KEPT, {"skus": sorted(skus)}).all():
        wanted = _demand(tx, article.sku)
        if article.on_hand >= article.minimum and article.on_hand >= wanted:
            continue
        missing = max(article.target, wanted) - article.on_hand
        if missing > 0:
            planned.append(
                {"id": _new_id(article.sku, article.ordered_before), "sku": article.sku, "quantity": missing}
            )
    if planned:
        tx.execute(_PLAN, [{**row, "state": State.PLANNED, "created_at": datetime.now(UTC)} for row in planned])


def _new_id(sku: str, ordered_before: int) -> str:
    """Never given before, not even by another ledger: several may have orders at one supplier, and one that was
    restored from a backup counts anew."""
    return f"{sku}/{ordered_before + 1}/{secrets.token_hex(6)}"


def _demand(tx: Connection, sku: str) -> int:
    """Pieces of the article that orders wait for, which said that they would wait."""
    rows = tx.execute(_WAITING.where(_WANTED[("pieces", sku)].as_integer() > 0)).all()
    return sum(row.params["pieces"][sku] for row in rows if row.params.get("waits"))


def open_order(tx: Connection, supplier_order: str) -> SupplierOrderRow:
    """What the ledger holds of it. Raises PermanentError if it was never planned."""
    return _known(_row(tx, supplier_order))


def placed(tx: Connection, supplier_order: str, *, reference: str, expected_at: datetime) -> SupplierOrderRow:
    """Write down that the supplier took the order; the first answer stays."""
    confirmed = {"reference": reference, "expected_at": expected_at, "placed_at": datetime.now(UTC)}
    tx.execute(
        _CHANGE_ORDER.where(supplier_orders.c.state == State.PLANNED),
        {"supplier_order": supplier_order, "state": State.PLACED, **confirmed},
    )
    return open_order(tx, supplier_order)


def deliver(tx: Connection, supplier_order: str) -> bool:
    """Add the pieces to the free ones, and plan the next order if they are still too few. False if that was done
    before."""
    sku = _row(tx, supplier_order).sku
    tx.execute(_LOCK_ARTICLE, {"article": sku})
    row = _row(tx, supplier_order)
    if row.state == State.DELIVERED:
        return False
    now = datetime.now(UTC)
    tx.execute(
        _CHANGE_ORDER,
        # Pieces that came in were ordered, even where the supplier's confirmation was never written down.
        {
            "supplier_order": supplier_order,
            "state": State.DELIVERED,
            "placed_at": row.placed_at or now,
            "delivered_at": now,
        },
    )
    tx.execute(_RESTOCK, {"article": sku, "delivered": row.quantity})
    plan_if_needed(tx, [sku])
    return True


def _row(tx: Connection, supplier_order: str) -> Row[Any]:
    row = tx.execute(_ORDER, {"supplier_order": supplier_order}).one_or_none()
    if row is None:
        raise PermanentError(f"the ledger has no supplier order {supplier_order}")
    return row


def _known(row: Row[Any]) -> SupplierOrderRow:
    return SupplierOrderRow(row.id, row.sku, row.quantity, State(row.state), row.expected_at)


def _level(
    tx: Connection, article: Row[Any], *, backorders: bool, kept_by: str | None = None, unlisted: bool = False
) -> StockLevel:
    # What is on order is the keeper's: it asks the supplier, and nobody else.
    order = tx.execute(_OPEN, {"article": article.sku}).one_or_none() if kept_by is None else None
    return StockLevel(
        on_hand=article.on_hand,
        reserved=article.reserved,
        sold=article.sold,
        supplier_order=order
        and SupplierOrderRecord(
            id=order.id, quantity=order.quantity, placed_at=order.placed_at, expected_at=order.expected_at
        ),
        backorders=backorders,
        kept_by=kept_by,
        unlisted=unlisted,
    )


def waiting(tx: Connection, sku: str) -> list[RunKey]:
    """The orders that wait for this article and that the free pieces could serve now, the longest-waiting first, at
    most `WOKEN`. An order that lacks more than there is, of this article or another one, is passed over: pieces would
    lie idle behind it."""
    free = _free(tx, {sku})
    if not free.get(sku):
        return []
    rows = tx.execute(_WAITING.where(_WANTED[("pieces", sku)].as_integer() > 0)).all()
    free |= _free(tx, {article for row in rows for article in row.params["pieces"]})
    served = []
    for row in rows:
        wanted = row.params["pieces"]
        if any(free.get(article, 0) < count for article, count in wanted.items()):
            continue
        served.append(RunKey(row.namespace, row.name, row.uid))
        for article, count in wanted.items():
            free[article] -= count
        if len(served) == WOKEN or not free[sku]:
            break
    return served


_OVERLOOK = (
    update(operations)
    .where(
        operations.c.order_uid.in_(
            select(orders.c.uid).where(
                orders.c.uid.in_(bindparam("uids", expanding=True)), orders.c.cluster == bindparam("installation")
            )
        ),
        operations.c.kind == OperationKind.RESERVE.value,
        operations.c.error_type == OutOfStock.__name__,
        operations.c.created_at <= bindparam("asked_at", type_=operations.c.created_at.type),
        operations.c.reversed_by.is_(None),
    )
    .values(reversed_by=NOT_HEARD)
)


def overlook(tx: Connection, uids: Iterable[str], *, installation: str, asked_at: datetime) -> int:
    """Count no longer what these orders of the installation lacked until then: no workflow of theirs is open to take
    it. One that is started for such an order asks again, and counts again. Tells how many shortages these were."""
    return tx.execute(_OVERLOOK, {"uids": sorted(uids), "installation": installation, "asked_at": asked_at}).rowcount


def _free(tx: Connection, skus: Iterable[str]) -> dict[str, int]:
    return {row.sku: row.on_hand for row in tx.execute(_FREE, {"skus": sorted(skus)})}
