"""What every supplier has to do."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from shop import SKU, Shop

from order_domain.errors import OperationConflict
from order_worker.bootstrap import Providers
from order_worker.providers.supplier import simulated
from order_worker.providers.supplier.port import Confirmation, Supplier

ADAPTERS: dict[str, Callable[[Providers], Supplier]] = {"simulated": lambda providers: providers.supplier}


@pytest.fixture(params=sorted(ADAPTERS))
def supplier(request: pytest.FixtureRequest, providers: Providers) -> Supplier:
    return ADAPTERS[request.param](providers)


async def order(supplier: Supplier, *, quantity: int = 9999) -> Confirmation:
    return await supplier.order("key", sku=SKU, quantity=quantity)


async def test_an_order_is_taken_once(supplier: Supplier, shop: Shop) -> None:
    first, second = await order(supplier), await order(supplier)
    assert first == second
    log = await shop.provider_log("supplier_orders")
    assert [(row["key"], row["sku"], row["quantity"]) for row in log] == [("key", SKU, 9999)]


async def test_one_key_with_another_quantity_is_refused(supplier: Supplier) -> None:
    await order(supplier)
    with pytest.raises(OperationConflict):
        await order(supplier, quantity=1)


async def test_an_order_says_when_the_pieces_are_expected(supplier: Supplier) -> None:
    assert (await order(supplier)).expected_at > datetime.now(UTC)


async def test_an_order_of_just_now_is_not_delivered(supplier: Supplier) -> None:
    await order(supplier)
    assert not await supplier.delivered("key")


async def test_an_unknown_order_is_not_delivered(supplier: Supplier) -> None:
    assert not await supplier.delivered("key")


async def test_the_simulated_supplier_delivers_after_a_while(
    providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated, "DELIVERY_TIME", timedelta(milliseconds=50))
    await order(providers.supplier)
    deadline = time.monotonic() + 10
    while not await providers.supplier.delivered("key"):
        assert time.monotonic() < deadline, "the pieces do not come"
        await asyncio.sleep(0.02)
