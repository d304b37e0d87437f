"""Orders that wait for more than is free cause a restock, whatever the article's rules say about less."""

from functools import partial

import pytest
from shop import SKU, Shop
from sqlalchemy.dialects import postgresql, sqlite

from order_domain.errors import OutOfStock
from order_worker.ledger import stock, supply, tables
from order_workflows.activities.stock_item import KeepStock


async def kept(shop: Shop, *, minimum: int = 2, target: int = 20) -> None:
    """10 pieces are free."""
    await shop.stock_items.keep(KeepStock(sku=SKU, initial_on_hand=10, minimum=minimum, target=target))


async def refused(shop: Shop, number: int, quantity: int, *, backorder: bool = True) -> None:
    buyer = await shop.buyer(number)
    with pytest.raises(OutOfStock):
        await shop.stock.reserve(buyer.reserve(quantity, backorder=backorder))


async def planned(shop: Shop) -> list[int]:
    return [row["quantity"] for row in await shop.rows(tables.supplier_orders)]


async def delivered(shop: Shop) -> None:
    [number] = [row["id"] for row in await shop.rows(tables.supplier_orders) if row["state"] != "delivered"]
    await shop.ledger.transaction(partial(supply.deliver, supplier_order=number))


async def test_an_order_that_waits_for_more_than_is_free_orders_up_to_the_target(shop: Shop) -> None:
    await kept(shop)
    await refused(shop, 1, 12)
    assert await planned(shop) == [10]


async def test_an_order_that_waits_for_more_than_the_target_is_ordered_in_full(shop: Shop) -> None:
    await kept(shop)
    await refused(shop, 1, 50)
    assert await planned(shop) == [40]


async def test_an_order_that_does_not_wait_orders_nothing(shop: Shop) -> None:
    await kept(shop)
    await refused(shop, 1, 50, backorder=False)
    assert await planned(shop) == []


async def test_an_article_without_rules_is_not_ordered(shop: Shop) -> None:
    await refused(shop, 1, 50)
    assert await planned(shop) == []


async def test_what_came_to_wait_while_an_order_was_open_is_ordered_with_the_delivery(shop: Shop) -> None:
    await kept(shop)
    await refused(shop, 1, 12)
    await refused(shop, 2, 30)
    assert await planned(shop) == [10]
    await delivered(shop)
    assert await planned(shop) == [10, 22]  # 20 are free, 42 are wanted


async def test_two_ledgers_at_one_supplier_never_share_a_supplier_order(shop: Shop) -> None:
    await kept(shop, minimum=11)
    [mine] = [row["id"] for row in await shop.rows(tables.supplier_orders)]
    assert mine.startswith(f"{SKU}/1/")
    assert len(mine) > len(f"{SKU}/1/") + 8  # the rest is random


def test_articles_are_locked_by_code_points_on_every_collation() -> None:
    on_postgresql = str(stock._LOCK_FREE["postgresql"].compile(dialect=postgresql.dialect()))
    assert 'ORDER BY stock.sku COLLATE "C" FOR UPDATE' in on_postgresql
    assert "ORDER BY stock.sku" in str(stock._LOCK_FREE["sqlite"].compile(dialect=sqlite.dialect()))
