"""What every warehouse has to do."""

from collections.abc import Callable
from typing import Any

import pytest
from shop import SKU, Shop

from order_domain.errors import OperationCancelled, OperationConflict
from order_worker.bootstrap import Providers
from order_worker.providers.warehouse.port import Warehouse

ADAPTERS: dict[str, Callable[[Providers], Warehouse]] = {"simulated": lambda providers: providers.warehouse}


@pytest.fixture(params=sorted(ADAPTERS))
def warehouse(request: pytest.FixtureRequest, providers: Providers) -> Warehouse:
    return ADAPTERS[request.param](providers)


async def pack(warehouse: Warehouse, *, line_id: str = "1", quantity: int = 2, key: str = "key") -> None:
    await warehouse.pack(key, line_id=line_id, sku=SKU, quantity=quantity)


async def packed(shop: Shop) -> list[tuple[Any, ...]]:
    return [(row["key"], row["line_id"], row["quantity"]) for row in await shop.provider_log("packed_lines")]


async def test_a_line_is_packed_once(warehouse: Warehouse, shop: Shop) -> None:
    await pack(warehouse)
    await pack(warehouse)
    assert await packed(shop) == [("key", "1", 2)]


async def test_each_line_of_a_key_is_packed(warehouse: Warehouse, shop: Shop) -> None:
    await pack(warehouse, line_id="1")
    await pack(warehouse, line_id="2")
    assert await packed(shop) == [("key", "1", 2), ("key", "2", 2)]


async def test_one_line_with_another_quantity_is_refused(warehouse: Warehouse) -> None:
    await pack(warehouse)
    with pytest.raises(OperationConflict):
        await pack(warehouse, quantity=3)


async def test_unpacking_twice_is_unpacking_once(warehouse: Warehouse, shop: Shop) -> None:
    await pack(warehouse)
    await warehouse.unpack("key")
    await warehouse.unpack("key")
    assert [row["key"] for row in await shop.provider_log("unpackings")] == ["key"]


@pytest.mark.parametrize("line_id", ["1", "2"])
async def test_after_unpacking_no_line_is_packed_under_that_key(warehouse: Warehouse, line_id: str) -> None:
    await pack(warehouse, line_id="1")
    await warehouse.unpack("key")
    with pytest.raises(OperationCancelled):
        await pack(warehouse, line_id=line_id)


async def test_unpacking_an_unknown_key_makes_it_void(warehouse: Warehouse) -> None:
    await warehouse.unpack("key")
    with pytest.raises(OperationCancelled):
        await pack(warehouse)


async def test_unpacking_leaves_other_keys_alone(warehouse: Warehouse, shop: Shop) -> None:
    await warehouse.unpack("key")
    await pack(warehouse, key="other")
    assert await packed(shop) == [("other", "1", 2)]


async def still_packed(shop: Shop) -> list[str]:
    return [row["line_id"] for row in await shop.provider_log("packed_lines") if row["unpacked_at"] is None]


async def test_a_line_that_is_kept_stays_packed_until_a_later_unpacking(warehouse: Warehouse, shop: Shop) -> None:
    for line_id in ("1", "2", "3"):
        await pack(warehouse, line_id=line_id)
    await warehouse.unpack("key", {"2", "3"})
    assert await still_packed(shop) == ["2", "3"]
    await warehouse.unpack("key", {"3"})
    assert await still_packed(shop) == ["3"]


async def test_while_a_line_is_kept_no_other_is_packed(warehouse: Warehouse) -> None:
    await pack(warehouse, line_id="1")
    await warehouse.unpack("key", {"1"})
    with pytest.raises(OperationCancelled):
        await pack(warehouse, line_id="2")
