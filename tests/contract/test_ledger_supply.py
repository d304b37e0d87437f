"""An article is kept between its minimum and its target, by one supplier order at a time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

import pytest
from alembic import command
from shop import SKU, Shop, a_line
from sqlalchemy import insert, text, update
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from order_domain.errors import LedgerRefused, OutOfStock, PermanentError, ProviderUnavailable
from order_domain.stock_item import SupplierOrderRecord
from order_worker.activities.stock_item import LedgerStockItems
from order_worker.bootstrap import Providers
from order_worker.ledger import schema, supply, tables
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.providers.supplier import simulated
from order_worker.providers.supplier.port import Confirmation, Supplier
from order_workflows.activities.stock_item import Article, KeepStock, StockLevel, SupplierOrder
from order_workflows.contract import RunKey

FIRST = SupplierOrder(id=f"{SKU}/1/0")
SECOND = SupplierOrder(id=f"{SKU}/2/0")


@pytest.fixture(autouse=True)
def _known_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of an id that is random is 0."""
    monkeypatch.setattr(supply.secrets, "token_hex", lambda _: "0")


ARTICLE = Article(sku=SKU)


def rules(*, initial: int = 0, minimum: int = 8, target: int = 10, sku: str = SKU) -> KeepStock:
    return KeepStock(sku=sku, initial_on_hand=initial, minimum=minimum, target=target)


@pytest.fixture
def delivers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "DELIVERY_TIME", timedelta(0))


@pytest.fixture
async def shops(shop: Shop, ledger_url: str, providers: Providers) -> AsyncIterator[list[Shop]]:
    """One shop, by several workers."""
    ledgers = [await Ledger.open(ledger_url) for _ in range(4)]
    yield [Shop(ledger, providers) for ledger in ledgers]
    for ledger in ledgers:
        await ledger.close()


async def supplier_orders(shop: Shop) -> list[tuple[str, int, str]]:
    rows = await shop.rows(tables.supplier_orders)
    return sorted((row["id"], row["quantity"], row["state"]) for row in rows)


async def reserve(shop: Shop, number: int, quantity: int, *, sku: str = SKU) -> None:
    """By an order of its own, which waits where there are not so many."""
    buyer = await shop.buyer(number)
    await shop.stock.reserve(buyer.reserve(quantity, sku=sku))


async def restocked(shop: Shop, supplier_order: SupplierOrder) -> StockLevel:
    """After the supplier was asked and has delivered."""
    await shop.stock_items.order(supplier_order)
    assert (await shop.stock_items.receive(supplier_order)).delivered
    return await shop.stock_items.keep(rules())


async def waiting(shop: Shop, sku: str = SKU) -> list[str]:
    """Uids of the orders that would be told."""
    return [key.uid for key in await shop.ledger.transaction(lambda tx: supply.waiting(tx, sku))]


async def backorder(shop: Shop, number: int, quantity: int, *, sku: str = SKU) -> None:
    with pytest.raises(OutOfStock):
        await reserve(shop, number, quantity, sku=sku)


async def add(shop: Shop, pieces: int, *, sku: str = SKU) -> None:
    """Past all code."""
    row = tables.stock.c
    change = {"on_hand": row.on_hand + pieces, "restocked": row.restocked + pieces}
    await shop.ledger.transaction(lambda tx: tx.execute(update(tables.stock).where(row.sku == sku).values(**change)))


async def test_a_thousand_less_999_are_filled_up_to_ten_thousand(shop: Shop, delivers_at_once: None) -> None:
    await shop.stocked(KEPT=1000)
    await reserve(shop, 1, 999, sku="KEPT")
    kept = rules(sku="KEPT", minimum=5000, target=10_000)
    level = await shop.stock_items.keep(kept)
    assert level.supplier_order is not None
    assert (level.on_hand, level.supplier_order.quantity) == (1, 9999)
    await shop.stock_items.order(SupplierOrder(id="KEPT/1/0"))
    await shop.stock_items.receive(SupplierOrder(id="KEPT/1/0"))
    level = await shop.stock_items.keep(kept)
    assert (level.on_hand, level.reserved, level.supplier_order) == (10_000, 999, None)


async def test_keeping_counts_the_pieces(shop: Shop) -> None:
    await reserve(shop, 1, 2)
    sold = await shop.buyer(2)
    await shop.stock.reserve(sold.reserve(3))
    await shop.stock.commit(sold.commit())
    assert await shop.stock_items.keep(rules(minimum=0)) == StockLevel(on_hand=5, reserved=2, sold=3)


async def test_keeping_an_article_that_is_not_there_adds_it(shop: Shop) -> None:
    level = await shop.stock_items.keep(rules(sku="NEW", initial=8))
    assert (level.on_hand, level.supplier_order) == (8, None)


async def test_keeping_an_article_that_is_there_leaves_its_counts_alone(shop: Shop) -> None:
    await shop.stock_items.keep(rules(initial=99))
    assert await shop.counts() == (10, 0, 0)


async def test_keeping_too_few_pieces_orders_what_is_missing(shop: Shop) -> None:
    level = await shop.stock_items.keep(rules(minimum=11, target=15))
    assert level.supplier_order == SupplierOrderRecord(id="PROD-001/1/0", quantity=5)


async def test_keeping_again_orders_nothing_more(shop: Shop) -> None:
    for _ in range(2):
        await shop.stock_items.keep(rules(minimum=11, target=15))
    assert await supplier_orders(shop) == [("PROD-001/1/0", 5, "planned")]


async def test_another_minimum_is_kept_from_then_on(shop: Shop) -> None:
    await shop.stock_items.keep(rules())
    await shop.stock_items.keep(rules(minimum=11, target=12))
    assert await supplier_orders(shop) == [("PROD-001/1/0", 2, "planned")]


async def test_a_reservation_that_leaves_the_minimum_orders_nothing(shop: Shop) -> None:
    await shop.stock_items.keep(rules())
    await reserve(shop, 1, 2)
    assert await supplier_orders(shop) == []


async def test_a_reservation_that_leaves_fewer_orders_what_is_missing(shop: Shop) -> None:
    await shop.stock_items.keep(rules())
    await reserve(shop, 1, 3)
    assert await supplier_orders(shop) == [("PROD-001/1/0", 3, "planned")]


async def test_other_lines_that_leave_fewer_order_what_is_missing(shop: Shop) -> None:
    await shop.stock_items.keep(rules())
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 4)))
    assert await supplier_orders(shop) == [("PROD-001/1/0", 4, "planned")]


async def test_other_lines_that_leave_enough_order_nothing(shop: Shop) -> None:
    await shop.stock_items.keep(rules())
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve(2))
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 1)))
    assert await supplier_orders(shop) == []


async def test_an_article_without_rules_is_never_ordered(shop: Shop) -> None:
    await reserve(shop, 1, 10)
    assert await supplier_orders(shop) == []


async def test_a_hundred_reservations_below_the_minimum_open_one_supplier_order(shop: Shop, shops: list[Shop]) -> None:
    await shop.stock_items.keep(rules(sku="KEPT", initial=200, minimum=200, target=300))
    buyers = [await shop.buyer(number) for number in range(100)]
    await asyncio.gather(
        *(shops[number % len(shops)].stock.reserve(buyer.reserve(1, sku="KEPT")) for number, buyer in enumerate(buyers))
    )
    assert await supplier_orders(shop) == [("KEPT/1/0", 101, "planned")]


async def test_the_database_itself_refuses_a_second_open_order(shop: Shop) -> None:
    row = {"sku": SKU, "quantity": 1, "state": "planned", "created_at": datetime.now(UTC)}
    await shop.insert(tables.supplier_orders, id="a", **row)
    with pytest.raises(LedgerRefused):
        await shop.insert(tables.supplier_orders, id="b", **row)


@pytest.mark.parametrize("change", [{"minimum": 1}, {"target": 1}, {"minimum": 2, "target": 1}])
async def test_the_database_itself_refuses_rules_that_cannot_be_kept(shop: Shop, change: dict[str, int]) -> None:
    with pytest.raises(LedgerRefused):
        await shop.ledger.transaction(lambda tx: tx.execute(update(tables.stock).values(**change)).rowcount)


async def test_a_planned_order_is_placed_once(shop: Shop) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    first, second = await shop.stock_items.order(FIRST), await shop.stock_items.order(FIRST)
    assert first == second
    assert first.expected_at is not None
    [placed] = await shop.provider_log("supplier_orders")
    assert (placed["key"], placed["sku"], placed["quantity"]) == ("PROD-001/1/0", SKU, 5)


class AnswerLost(Supplier):
    """Takes the order, and does not say so the first time."""

    def __init__(self, inner: Supplier) -> None:
        self._inner = inner
        self._heard = False

    async def order(self, key: str, *, sku: str, quantity: int) -> Confirmation:
        confirmation = await self._inner.order(key, sku=sku, quantity=quantity)
        if not self._heard:
            self._heard = True
            raise ProviderUnavailable("no answer")
        return confirmation

    async def delivered(self, key: str) -> bool:
        return await self._inner.delivered(key)


async def test_an_order_whose_answer_was_lost_is_asked_for_again_and_placed_once(shop: Shop) -> None:
    items = LedgerStockItems(shop.ledger, AnswerLost(shop.providers.supplier), shop.metrics)
    await items.keep(rules(minimum=11, target=15))
    with pytest.raises(ProviderUnavailable):
        await items.order(FIRST)
    await items.order(FIRST)
    assert len(await shop.provider_log("supplier_orders")) == 1
    assert await supplier_orders(shop) == [("PROD-001/1/0", 5, "placed")]


async def test_a_placed_order_shows_when_it_is_expected(shop: Shop) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    placed = await shop.stock_items.order(FIRST)
    level = await shop.stock_items.keep(rules(minimum=11, target=15))
    assert level.supplier_order is not None
    assert level.supplier_order.expected_at == placed.expected_at is not None
    assert level.supplier_order.placed_at is not None


async def test_pieces_that_have_not_come_are_not_added(shop: Shop) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    placed = await shop.stock_items.order(FIRST)
    assert await shop.stock_items.receive(FIRST) == placed
    assert await shop.counts() == (10, 0, 0)


async def test_delivering_twice_adds_once(shop: Shop, delivers_at_once: None) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    await shop.stock_items.order(FIRST)
    assert [(await shop.stock_items.receive(FIRST)).delivered for _ in range(2)] == [True, True]
    assert await shop.counts() == (15, 0, 0)


async def test_several_workers_that_receive_one_order_add_it_once(
    shop: Shop, shops: list[Shop], delivers_at_once: None
) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    await shop.stock_items.order(FIRST)
    await asyncio.gather(*(worker.stock_items.receive(FIRST) for worker in shops))
    assert await shop.counts() == (15, 0, 0)


async def test_a_delivered_order_is_not_placed_again(shop: Shop, delivers_at_once: None) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    await shop.stock_items.order(FIRST)
    await shop.stock_items.receive(FIRST)
    assert (await shop.stock_items.order(FIRST)).delivered


async def test_a_confirmation_that_comes_after_the_delivery_changes_nothing(shop: Shop, delivers_at_once: None) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    await shop.stock_items.order(FIRST)
    await shop.stock_items.receive(FIRST)
    late = partial(supply.placed, supplier_order=FIRST.id, reference="SUPPLY-1", expected_at=datetime.now(UTC))
    assert (await shop.ledger.transaction(late)).state is supply.State.DELIVERED


async def test_the_next_order_is_planned_when_the_delivery_leaves_too_few(shop: Shop, delivers_at_once: None) -> None:
    await shop.stock_items.keep(rules(minimum=8, target=10))
    await reserve(shop, 1, 3)
    await reserve(shop, 2, 6)
    await shop.stock_items.order(FIRST)
    await shop.stock_items.receive(FIRST)
    assert await supplier_orders(shop) == [("PROD-001/1/0", 3, "delivered"), ("PROD-001/2/0", 6, "planned")]
    assert (await restocked(shop, SECOND)).on_hand == 10


@pytest.mark.parametrize("activity", ["order", "receive"])
async def test_a_supplier_order_that_nobody_planned_is_refused(shop: Shop, activity: str) -> None:
    with pytest.raises(PermanentError, match="PROD-001/1/0"):
        await getattr(shop.stock_items, activity)(FIRST)


async def test_an_article_that_was_let_go_is_not_ordered_any_more(shop: Shop) -> None:
    await shop.stock_items.keep(rules())
    assert await shop.stock_items.let_go(ARTICLE) == StockLevel(on_hand=10, reserved=0, sold=0)
    await reserve(shop, 1, 10)
    assert await supplier_orders(shop) == []


async def test_an_order_that_is_planned_when_the_article_is_let_go_is_still_delivered(
    shop: Shop, delivers_at_once: None
) -> None:
    await shop.stock_items.keep(rules(minimum=11, target=15))
    level = await shop.stock_items.let_go(ARTICLE)
    assert level.supplier_order is not None
    await shop.stock_items.order(FIRST)
    await shop.stock_items.receive(FIRST)
    assert await shop.counts() == (15, 0, 0)


PLACED = SupplierOrderRecord(
    id=f"{SKU}/2/a",
    quantity=7,
    placed_at=datetime(2026, 1, 2, tzinfo=UTC),
    expected_at=datetime(2026, 1, 3, tzinfo=UTC),
)
"""What the article's workflow knows, and a restored ledger does not have."""


def naming(known: SupplierOrderRecord | None) -> KeepStock:
    return rules(minimum=11, target=15).model_copy(update={"on_order": known})


async def test_a_supplier_order_that_a_restored_ledger_lacks_is_put_back_and_not_made_again(shop: Shop) -> None:
    """The pieces were bought twice, and those that came first were never counted."""
    level = await shop.stock_items.keep(naming(PLACED))

    assert (level.supplier_order, level.unlisted) == (PLACED, False)
    assert await supplier_orders(shop) == [(PLACED.id, 7, "placed")]


async def test_one_that_was_not_placed_yet_is_put_back_as_it_was(shop: Shop) -> None:
    """Whether the supplier has heard of it is not known: it is asked under the same key."""
    await shop.stock_items.keep(naming(SupplierOrderRecord(id=PLACED.id, quantity=7)))

    assert await supplier_orders(shop) == [(PLACED.id, 7, "planned")]


async def test_what_an_order_had_planned_since_in_its_place_gives_way_to_it(shop: Shop) -> None:
    await shop.stock_items.keep(naming(None))

    level = await shop.stock_items.keep(naming(PLACED.model_copy(update={"id": f"{SKU}/1/a"})))

    assert (level.supplier_order and level.supplier_order.id, level.unlisted) == (f"{SKU}/1/a", False)
    assert await supplier_orders(shop) == [(f"{SKU}/1/a", 7, "placed")]


@pytest.mark.parametrize("placed", [False, True])
async def test_another_supplier_order_that_may_be_an_earlier_one_stays_and_is_told(shop: Shop, placed: bool) -> None:
    await shop.stock_items.keep(naming(None))
    if placed:
        await shop.stock_items.order(FIRST)

    level = await shop.stock_items.keep(naming(PLACED))

    assert (level.supplier_order and level.supplier_order.id, level.unlisted) == (FIRST.id, True)
    assert [order[0] for order in await supplier_orders(shop)] == [FIRST.id]


async def test_a_supplier_order_that_was_delivered_is_not_put_back(shop: Shop, delivers_at_once: None) -> None:
    level = await shop.stock_items.keep(naming(None))
    await shop.stock_items.order(FIRST)
    await shop.stock_items.receive(FIRST)

    level = await shop.stock_items.keep(naming(level.supplier_order))

    assert (level.on_hand, level.supplier_order, level.unlisted) == (15, None, False)


async def test_an_article_that_is_let_go_keeps_the_order_that_a_restored_ledger_lacks(shop: Shop) -> None:
    level = await shop.stock_items.let_go(Article(sku=SKU, on_order=PLACED))

    assert level.supplier_order == PLACED


async def test_letting_go_of_an_unknown_article_is_fine(shop: Shop) -> None:
    assert await shop.stock_items.let_go(Article(sku="NEVER")) == StockLevel(on_hand=0, reserved=0, sold=0)


async def test_the_order_that_waits_longest_is_told_first(shop: Shop) -> None:
    for number in (3, 1, 2):
        await backorder(shop, number, 11)
    await add(shop, 90)
    assert await waiting(shop) == ["uid-3", "uid-1", "uid-2"]


async def test_an_order_that_was_told_in_vain_keeps_its_place(shop: Shop) -> None:
    await backorder(shop, 1, 11)
    await backorder(shop, 2, 12)
    again = (await shop.buyer(1)).reserve(11)
    with pytest.raises(OutOfStock):
        await shop.stock.reserve(again.model_copy(update={"operation_id": "uid-1/reserve/2"}))
    await add(shop, 90)
    assert await waiting(shop) == ["uid-1", "uid-2"]


async def test_no_more_are_told_than_the_pieces_serve(shop: Shop) -> None:
    for number in (1, 2, 3):
        await backorder(shop, number, 11)
    await add(shop, 12)
    assert await waiting(shop) == ["uid-1", "uid-2"]


async def test_an_order_that_wants_more_than_there_is_does_not_hold_up_the_next(shop: Shop) -> None:
    await backorder(shop, 1, 100)
    await backorder(shop, 2, 11)
    await add(shop, 1)
    assert await waiting(shop) == ["uid-2"]


async def test_an_order_that_lacks_another_article_does_not_take_the_pieces(shop: Shop) -> None:
    await shop.stocked(PROD_002=0)
    both = [a_line("1", 10), a_line("2", 1, sku="PROD-002")]
    with pytest.raises(OutOfStock):
        await shop.stock.reserve((await shop.buyer(1)).reserve().model_copy(update={"lines": both}))
    await backorder(shop, 2, 11)
    await add(shop, 1)
    assert await waiting(shop) == ["uid-2"]


async def test_an_order_waits_for_what_it_asked_for_last(shop: Shop) -> None:
    await shop.stocked(PROD_002=0)
    await backorder(shop, 1, 11)
    other = (await shop.buyer(1)).reserve(1, sku="PROD-002")
    with pytest.raises(OutOfStock):
        await shop.stock.reserve(other.model_copy(update={"operation_id": "uid-1/reserve/2"}))
    await add(shop, 90)
    assert await waiting(shop) == []


async def test_an_order_that_got_its_pieces_does_not_wait(shop: Shop) -> None:
    await backorder(shop, 1, 11)
    await add(shop, 90)
    again = (await shop.buyer(1)).reserve(11)
    await shop.stock.reserve(again.model_copy(update={"operation_id": "uid-1/reserve/2"}))
    assert await waiting(shop) == []


async def test_an_order_that_changed_its_lines_after_it_got_its_pieces_does_not_wait(shop: Shop) -> None:
    """Its pieces are held by the change of lines then: it was told of pieces again, before those that wait."""
    await backorder(shop, 1, 11)
    await backorder(shop, 2, 20)
    await add(shop, 90)
    buyer = await shop.buyer(1)
    await shop.stock.reserve(buyer.reserve(11, step="reserve/2"))
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 12), replaces="reserve/2"))
    assert await waiting(shop) == ["uid-2"]


async def test_an_order_that_changed_its_lines_while_it_waits_still_waits(shop: Shop) -> None:
    await backorder(shop, 1, 11)
    buyer = await shop.buyer(1)
    await shop.orders.change_lines(buyer.change_lines(a_line("1", 12), replaces=None))
    await add(shop, 90)
    assert await waiting(shop) == ["uid-1"]


class Temporal:
    """Tells of every workflow that is signalled; those of `gone` are not there."""

    def __init__(self, *gone: str, namespace: bool = True) -> None:
        self.gone = gone
        self.told: list[str] = []
        self._details = b""
        if not namespace:
            status = GrpcStatus()
            status.details.add().Pack(NamespaceNotFoundFailure())
            self._details = status.SerializeToString()

    def get_workflow_handle(self, identifier: str) -> "Temporal":
        self.told.append(identifier.rpartition("/")[2])
        return self

    async def signal(self, _name: str) -> None:
        if self.told[-1] in self.gone:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, self._details)


async def woken(shop: Shop, temporal: Temporal, *, keeper: str = f"stock/test/{SKU}") -> list[str]:
    """Which orders the workflow `keeper` tells."""
    environment = ActivityEnvironment(client=cast("Client", temporal))
    environment.info = replace(environment.info, workflow_id=keeper)
    await environment.run(shop.stock_items.wake, ARTICLE)
    return temporal.told


async def test_an_order_without_an_open_workflow_keeps_no_pieces_from_who_waits_behind_it(shop: Shop) -> None:
    """Its history had been deleted: what it lacked was kept for it, look after look."""
    await backorder(shop, 1, 12)
    await backorder(shop, 2, 11)
    await add(shop, 2)

    assert await woken(shop, Temporal("uid-1")) == ["uid-1", "uid-2"]
    assert await waiting(shop) == ["uid-2"]


async def test_an_order_that_asks_again_after_it_was_not_there_waits_again(shop: Shop) -> None:
    await backorder(shop, 1, 12)
    await add(shop, 2)
    await woken(shop, Temporal("uid-1"))
    await reserve(shop, 2, 2)

    with pytest.raises(OutOfStock):
        await shop.stock.reserve((await shop.buyer(1)).reserve(12, step="reserve/2"))
    await add(shop, 2)

    assert await waiting(shop) == ["uid-1"]


@pytest.mark.parametrize(
    ("keeper", "namespace"),
    [(f"stock/test/{SKU}", False), (f"stock/other/{SKU}", True), (f"stock/{SKU}", True)],
    ids=["no namespace", "another installation", "of an earlier release"],
)
async def test_an_order_whose_workflow_may_be_elsewhere_still_waits(shop: Shop, keeper: str, namespace: bool) -> None:
    await backorder(shop, 1, 12)
    await add(shop, 2)

    assert await woken(shop, Temporal("uid-1", namespace=namespace), keeper=keeper) == ["uid-1"]
    assert await waiting(shop) == ["uid-1"]


async def test_an_order_that_ended_does_not_wait(shop: Shop) -> None:
    await backorder(shop, 1, 11)
    await shop.orders.close((await shop.buyer(1)).close("Order Cancelled"))
    await add(shop, 90)
    assert await waiting(shop) == []


async def test_nobody_is_told_of_an_empty_shelf(shop: Shop) -> None:
    await reserve(shop, 1, 10)
    await backorder(shop, 2, 1)
    assert await waiting(shop) == []


async def test_who_waits_is_named_as_its_workflow_is(shop: Shop) -> None:
    await backorder(shop, 1, 11)
    await add(shop, 1)
    assert await shop.ledger.transaction(lambda tx: supply.waiting(tx, SKU)) == [RunKey("shop", "order-1", "uid-1")]


@pytest.mark.parametrize(("pieces", "expected"), [(0, False), (1, True)])
async def test_keeping_tells_whether_an_order_waits_that_could_be_served(
    shop: Shop, pieces: int, expected: bool
) -> None:
    await backorder(shop, 1, 11)
    await add(shop, pieces)
    assert (await shop.stock_items.keep(rules())).backorders is expected


async def test_released_pieces_serve_who_waits(shop: Shop) -> None:
    holder = await shop.buyer(1)
    await shop.stock.reserve(holder.reserve(10))
    await backorder(shop, 2, 10)
    await shop.stock.release(holder.release())
    assert await waiting(shop) == ["uid-2"]


def test_a_ledger_with_rows_is_brought_from_the_schema_before(bare_url: str) -> None:
    engine = connect(bare_url)
    row = {"initial": 5, "restocked": 0, "on_hand": 5, "reserved": 0, "sold": 0}
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(insert(tables.stock).values(sku=SKU, **row))
    schema.migrate(engine)
    with engine.begin() as connection:
        kept = connection.execute(text("SELECT sku, on_hand, minimum, target FROM stock")).one()
    engine.dispose()
    assert tuple(kept) == (SKU, 5, None, None)


# Who keeps an article: the first of several installations on one ledger

FORMER, OURS, THEIRS = f"stock/{SKU}", f"stock/a/{SKU}", f"stock/b/{SKU}"


def kept_by(keeper: str | None, *, minimum: int = 0, target: int = 5_000, follows: str | None = None) -> KeepStock:
    return KeepStock(sku=SKU, initial_on_hand=5, minimum=minimum, target=target, keeper=keeper, follows=follows)


async def in_force(shop: Shop) -> tuple[str | None, int | None, int | None]:
    (row,) = await shop.rows(tables.stock)
    return row["keeper"], row["minimum"], row["target"]


async def test_the_rules_of_the_first_keeper_stay(shop: Shop) -> None:
    await shop.stock_items.keep(kept_by(OURS))

    level = await shop.stock_items.keep(kept_by(THEIRS, minimum=4_000))

    assert level.kept_by == OURS
    assert await in_force(shop) == (OURS, 0, 5_000)
    assert await supplier_orders(shop) == []


async def test_the_open_order_at_the_supplier_is_told_to_the_keeper_alone(shop: Shop) -> None:
    await shop.stock_items.keep(kept_by(OURS, minimum=4_000))

    asked = [await shop.stock_items.keep(kept_by(keeper, minimum=4_000)) for keeper in (OURS, THEIRS)]
    refused = await shop.stock_items.let_go(Article(sku=SKU, keeper=THEIRS))

    assert [level.supplier_order is None for level in (*asked, refused)] == [False, True, True]


async def test_an_article_that_was_let_go_is_free_for_the_next_keeper(shop: Shop) -> None:
    await shop.stock_items.keep(kept_by(OURS))
    await shop.stock_items.let_go(Article(sku=SKU, keeper=OURS))

    level = await shop.stock_items.keep(kept_by(THEIRS, target=6_000))

    assert level.kept_by is None
    assert await in_force(shop) == (THEIRS, 0, 6_000)


async def test_only_its_keeper_lets_an_article_go(shop: Shop) -> None:
    await shop.stock_items.keep(kept_by(OURS))

    level = await shop.stock_items.let_go(Article(sku=SKU, keeper=THEIRS))

    assert level.kept_by == OURS
    assert await in_force(shop) == (OURS, 0, 5_000)


@pytest.mark.parametrize("before", [FORMER, None], ids=["of an earlier release", "of one before keepers"])
async def test_a_keeper_takes_the_place_of_the_one_that_it_follows(shop: Shop, before: str | None) -> None:
    await shop.stock_items.keep(kept_by(before, minimum=4_000))

    level = await shop.stock_items.keep(kept_by(OURS, minimum=4_000, follows=FORMER))

    assert level.kept_by is None
    assert (await in_force(shop))[0] == OURS
    assert len(await supplier_orders(shop)) == 1
    assert (await shop.stock_items.keep(kept_by(FORMER, minimum=4_000))).kept_by == OURS
