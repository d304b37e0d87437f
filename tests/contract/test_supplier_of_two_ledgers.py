"""Two ledgers order at one account of a supplier, and each gets its own pieces."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_databases import own_database
from shop import SKU, Shop

from order_worker.bootstrap import Providers
from order_worker.ledger import tables
from order_worker.ledger.database import Ledger
from order_worker.providers.supplier import simulated
from order_workflows.activities.stock_item import KeepStock, SupplierOrder


@pytest.fixture
def other_url(request: pytest.FixtureRequest, ledger_url: str, tmp_path: Path, migrated_file: Path) -> Iterator[str]:
    """Another empty ledger, in a database of the same kind."""
    if ledger_url.startswith("sqlite"):
        other = tmp_path / "other.db"
        other.write_bytes(migrated_file.read_bytes())
        yield f"sqlite:///{other}"
    else:
        template = request.getfixturevalue("migrated_database")
        with own_database(request.getfixturevalue("postgresql"), template=template) as url:
            yield url


@pytest.fixture
async def other_shop(other_url: str, providers: Providers) -> AsyncIterator[Shop]:
    """With the same providers."""
    ledger = await Ledger.open(other_url)
    yield Shop(ledger, providers)
    await ledger.close()


async def ordered(shop: Shop, target: int) -> SupplierOrder:
    """The first order of the article, placed at the supplier."""
    await shop.stock_items.keep(KeepStock(sku=SKU, initial_on_hand=0, minimum=1, target=target))
    [row] = await shop.rows(tables.supplier_orders)
    order = SupplierOrder(id=row["id"])
    await shop.stock_items.order(order)
    return order


@pytest.fixture
async def empty_shop(ledger: Ledger, providers: Providers) -> Shop:
    return Shop(ledger, providers)


async def test_two_ledgers_at_one_supplier_order_twice_and_each_gets_its_own_pieces(
    empty_shop: Shop, other_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated, "DELIVERY_TIME", timedelta(0))
    shops = (empty_shop, 5), (other_shop, 7)
    for shop, target in shops:
        order = await ordered(shop, target)
        assert (await shop.stock_items.receive(order)).delivered
    log = await empty_shop.provider_log("supplier_orders")
    assert sorted((row["sku"], row["quantity"]) for row in log) == [(SKU, 5), (SKU, 7)]
    assert [await shop.counts() for shop, _ in shops] == [(5, 0, 0), (7, 0, 0)]


async def test_two_ledgers_that_order_as_much_do_not_share_one_delivery(
    empty_shop: Shop, other_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated, "DELIVERY_TIME", timedelta(0))
    first, second = await ordered(empty_shop, 5), await ordered(other_shop, 5)
    assert first.id != second.id
    assert len(await empty_shop.provider_log("supplier_orders")) == 2
