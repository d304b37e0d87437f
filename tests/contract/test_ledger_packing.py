"""Packing through the ledger's protocol: resumed where it stopped, and never after it was undone."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from shop import Buyer, Shop
from temporalio.testing import ActivityEnvironment

from order_domain.errors import OperationCancelled, OperationConflict, ProviderUnavailable
from order_worker.ledger import tables
from order_worker.providers.warehouse.port import Warehouse
from order_workflows.activities.effect import Outcome

T = TypeVar("T")


class Interruptible(Warehouse):
    """Another warehouse, with a place to stop before and after one line."""

    def __init__(self, inner: Warehouse) -> None:
        self.inner = inner
        self.asked: list[str] = []
        self.before: dict[str, Exception] = {}
        self.after: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.waiting = asyncio.Event()

    async def pack(self, key: str, *, line_id: str, sku: str, quantity: int) -> None:
        self.asked.append(line_id)
        if line_id in self.gates:
            self.waiting.set()
            await self.gates[line_id].wait()
        if line_id in self.before:
            raise self.before.pop(line_id)
        await self.inner.pack(key, line_id=line_id, sku=sku, quantity=quantity)
        if line_id in self.after:
            raise self.after.pop(line_id)

    async def unpack(self, key: str, keep: Collection[str] = ()) -> None:
        await self.inner.unpack(key, keep)


@pytest.fixture
def warehouse(shop: Shop) -> Interruptible:
    return Interruptible(shop.providers.warehouse)


@pytest.fixture
def hall(shop: Shop, warehouse: Interruptible) -> Shop:
    """The shop, with the interruptible warehouse."""
    return Shop(shop.ledger, replace(shop.providers, warehouse=warehouse))


class Attempts:
    """Attempts of one activity: each starts with what the one before recorded last, as Temporal has it."""

    def __init__(self) -> None:
        self.recorded: list[Any] = []

    async def next(self, call: Callable[[Any], Awaitable[T]], request: object) -> T:
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, heartbeat_details=list(self.recorded))

        def record(*details: Any) -> None:
            self.recorded = list(details)

        environment.on_heartbeat = record
        return await environment.run(call, request)


async def pack(shop: Shop, buyer: Buyer, *quantities: int, attempts: Attempts | None = None) -> Outcome:
    return await (attempts or Attempts()).next(shop.warehouse.pack, buyer.pack(*quantities))


async def packed(shop: Shop) -> list[str]:
    return [row["line_id"] for row in await shop.provider_log("packed_lines")]


async def still_packed(shop: Shop) -> list[str]:
    return [row["line_id"] for row in await shop.provider_log("packed_lines") if row["unpacked_at"] is None]


async def operation(shop: Shop, name: str) -> dict[str, Any]:
    [row] = [row for row in await shop.rows(tables.operations) if row["operation_id"].endswith(f"/{name}")]
    return row


async def test_every_line_is_recorded_when_it_is_packed(shop: Shop) -> None:
    attempts = Attempts()
    await pack(shop, await shop.buyer(), 1, 2, 3, attempts=attempts)
    assert await packed(shop) == ["1", "2", "3"]
    assert attempts.recorded == [3]


async def test_an_attempt_that_died_is_resumed_at_the_line_after_the_recorded_one(
    hall: Shop, warehouse: Interruptible
) -> None:
    buyer, attempts = await hall.buyer(), Attempts()
    warehouse.before["3"] = ProviderUnavailable("the gate is shut")
    with pytest.raises(ProviderUnavailable):
        await pack(hall, buyer, 1, 2, 3, attempts=attempts)

    await pack(hall, buyer, 1, 2, 3, attempts=attempts)

    assert warehouse.asked == ["1", "2", "3", "3"]
    assert await packed(hall) == ["1", "2", "3"]


async def test_a_line_packed_without_an_answer_is_packed_once(hall: Shop, warehouse: Interruptible) -> None:
    buyer, attempts = await hall.buyer(), Attempts()
    warehouse.after["2"] = ProviderUnavailable("the connection broke")
    with pytest.raises(ProviderUnavailable):
        await pack(hall, buyer, 1, 2, attempts=attempts)

    await pack(hall, buyer, 1, 2, attempts=attempts)

    assert warehouse.asked == ["1", "2", "2"]
    assert await packed(hall) == ["1", "2"]


async def test_an_attempt_whose_records_were_lost_packs_no_line_twice(hall: Shop, warehouse: Interruptible) -> None:
    buyer = await hall.buyer()
    warehouse.before["2"] = ProviderUnavailable("the gate is shut")
    with pytest.raises(ProviderUnavailable):
        await pack(hall, buyer, 1, 2)

    await pack(hall, buyer, 1, 2)

    assert warehouse.asked == ["1", "2", "1", "2"]
    assert await packed(hall) == ["1", "2"]


async def test_a_finished_packing_is_answered_without_the_warehouse(hall: Shop, warehouse: Interruptible) -> None:
    buyer = await hall.buyer()
    await pack(hall, buyer, 1)
    await pack(hall, buyer, 1)
    assert warehouse.asked == ["1"]


async def test_other_lines_under_the_same_operation_are_a_conflict(shop: Shop) -> None:
    buyer = await shop.buyer()
    await pack(shop, buyer, 1)
    with pytest.raises(OperationConflict):
        await pack(shop, buyer, 2)


async def test_a_packing_is_undone_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    await pack(shop, buyer, 1, 2)
    await shop.warehouse.unpack(buyer.unpack())
    await shop.warehouse.unpack(buyer.unpack())
    assert len(await shop.provider_log("unpackings")) == 1
    assert (await operation(shop, "unpack"))["state"] == "done"


async def test_undoing_what_never_happened_touches_nothing_and_prevents_it(shop: Shop) -> None:
    buyer = await shop.buyer()
    await shop.warehouse.unpack(buyer.unpack())
    with pytest.raises(OperationCancelled):
        await pack(shop, buyer, 1)
    assert await shop.provider_log("packed_lines") == await shop.provider_log("unpackings") == []


async def test_a_packing_undone_half_way_never_goes_on(hall: Shop, warehouse: Interruptible) -> None:
    buyer, attempts = await hall.buyer(), Attempts()
    warehouse.before["2"] = ProviderUnavailable("the gate is shut")
    with pytest.raises(ProviderUnavailable):
        await pack(hall, buyer, 1, 2, attempts=attempts)

    await hall.warehouse.unpack(buyer.unpack())

    with pytest.raises(OperationCancelled):
        await pack(hall, buyer, 1, 2, attempts=attempts)
    assert (await operation(hall, "pack"))["error_type"] == "OperationCancelled"
    assert len(await hall.provider_log("unpackings")) == 1


async def test_a_packing_that_is_undone_while_it_runs_is_stopped_by_the_warehouse(
    hall: Shop, warehouse: Interruptible
) -> None:
    buyer = await hall.buyer()
    warehouse.gates["2"] = asyncio.Event()
    running = asyncio.create_task(pack(hall, buyer, 1, 2))
    await warehouse.waiting.wait()

    await hall.warehouse.unpack(buyer.unpack())
    warehouse.gates["2"].set()

    with pytest.raises(OperationCancelled):
        await running
    assert await packed(hall) == ["1"]


async def test_the_ledger_keeps_no_description(shop: Shop) -> None:
    buyer = await shop.buyer()
    request = buyer.pack(1)
    named = request.lines[0].model_copy(update={"description": "for my brother Bob"})
    await Attempts().next(shop.warehouse.pack, request.model_copy(update={"lines": [named]}))
    assert "Bob" not in str(await shop.rows(tables.operations) + await shop.rows(tables.audit_events))


async def test_lines_that_are_kept_stay_packed_until_a_later_undo_keeps_fewer(shop: Shop) -> None:
    """Their parcels are not back, or are sold."""
    buyer = await shop.buyer()
    await pack(shop, buyer, 1, 1, 1)
    unpack = buyer.unpack()

    await shop.warehouse.unpack(unpack.model_copy(update={"kept_lines": ["2", "3"]}))
    first = await still_packed(shop), (await operation(shop, "pack"))["reversed_by"]
    later = unpack.model_copy(update={"kept_lines": ["3"], "operation_id": "uid-1/unpack/2"})
    await shop.warehouse.unpack(later)
    second = await still_packed(shop), (await operation(shop, "pack"))["reversed_by"]
    await shop.warehouse.unpack(unpack.model_copy(update={"operation_id": "uid-1/unpack/3"}))

    assert [first, second] == [(["2", "3"], None), (["3"], None)]
    assert (await still_packed(shop), (await operation(shop, "pack"))["reversed_by"]) == ([], "uid-1/unpack/3")


async def test_an_undo_that_is_asked_for_again_with_other_kept_lines_is_another_operation(shop: Shop) -> None:
    buyer = await shop.buyer()
    await pack(shop, buyer, 1, 1)
    await shop.warehouse.unpack(buyer.unpack().model_copy(update={"kept_lines": ["2"]}))
    with pytest.raises(OperationConflict):
        await shop.warehouse.unpack(buyer.unpack())


async def test_no_line_is_packed_again_after_a_part_was_put_back(shop: Shop) -> None:
    buyer = await shop.buyer()
    await pack(shop, buyer, 1, 1)
    await shop.warehouse.unpack(buyer.unpack().model_copy(update={"kept_lines": ["2"]}))
    with pytest.raises(OperationCancelled):
        await shop.warehouse._warehouse.pack("uid-1/pack", line_id="1", sku="PROD-001", quantity=1)
