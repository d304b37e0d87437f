"""Several workers on one ledger, each with connections of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from audited import flaws
from shop import Buyer, Shop, a_line
from temporalio.testing import ActivityEnvironment

from order_domain.errors import (
    DuplicateOrder,
    LedgerUnavailable,
    OperationCancelled,
    OperationConflict,
    OrderError,
    OutOfStock,
    Undeliverable,
)
from order_worker import sqlite
from order_worker.bootstrap import Providers
from order_worker.ledger import tables
from order_worker.ledger.connections import POSTGRESQL_THREADS, connect
from order_worker.ledger.database import MAY_WAIT, Ledger
from order_worker.ledger.locked_order import lock
from order_worker.providers.shipping.port import Carrier, Dispatch
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_workflows.activities.effect import Outcome
from order_workflows.activities.order import Received

WORKERS = 4
MORE_THAN_AT_ONCE = POSTGRESQL_THREADS + MAY_WAIT + 1


class OfTwoMinds(SimulatedCarrier):
    """A carrier that takes its time over the first parcel it is asked for, and refuses the others."""

    def __init__(self, inner: Carrier) -> None:
        self.inner = inner
        self.asked, self.goes_on = asyncio.Event(), asyncio.Event()

    async def find(self, key: str) -> Dispatch | None:
        return await self.inner.find(key)

    async def dispatch(self, key: str, **request: Any) -> Dispatch:
        if self.asked.is_set():
            raise Undeliverable("not today")
        self.asked.set()
        await self.goes_on.wait()
        return await self.inner.dispatch(key, **request)


@pytest.fixture
async def shops(shop: Shop, ledger_url: str, providers: Providers) -> AsyncIterator[list[Shop]]:
    """One shop, by several workers."""
    ledgers = [await Ledger.open(ledger_url) for _ in range(WORKERS)]
    yield [Shop(ledger, providers) for ledger in ledgers]
    for ledger in ledgers:
        await ledger.close()


@asynccontextmanager
async def busy(ledger: Ledger) -> AsyncIterator[None]:
    """Within it each thread of the ledger has a transaction, and more wait than may."""
    go_on = threading.Event()
    asked = [asyncio.create_task(ledger.transaction(lambda _: go_on.wait(60))) for _ in range(MORE_THAN_AT_ONCE)]
    await asyncio.sleep(0)  # all of them have begun
    yield
    go_on.set()
    await asyncio.gather(*asked)


async def test_a_ledger_keeps_up_until_transactions_wait_for_others(shop: Shop) -> None:
    async with busy(shop.ledger):
        kept_up = shop.ledger.keeps_up()

    assert not kept_up
    assert shop.ledger.keeps_up()


async def test_a_ledger_is_free_while_a_thread_has_nothing_to_do(shop: Shop) -> None:
    before = shop.ledger.is_free()
    async with busy(shop.ledger):
        meanwhile = shop.ledger.is_free()

    assert (before, meanwhile, shop.ledger.is_free()) == (True, False, True)


async def test_two_hundred_reservations_of_a_hundred_pieces_sell_exactly_a_hundred(
    shop: Shop, shops: list[Shop]
) -> None:
    await shop.stocked(PROD_100=100)
    buyers = [await shop.buyer(number) for number in range(200)]

    async def buy(number: int) -> None:
        worker, buyer = shops[number % WORKERS], buyers[number]
        await worker.stock.reserve(buyer.reserve(1, sku="PROD-100"))
        await worker.stock.commit(buyer.commit())

    answers = await asyncio.gather(*(buy(number) for number in range(200)), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [OutOfStock] * 100
    assert await shop.counts("PROD-100") == (0, 0, 100)


async def test_orders_that_want_the_same_articles_in_another_order_do_not_block_each_other(
    shop: Shop, shops: list[Shop]
) -> None:
    await shop.stocked(PROD_002=100, PROD_003=100)
    lines = [a_line("1", 1, sku="PROD-002"), a_line("2", 1, sku="PROD-003")]
    buyers = [await shop.buyer(number) for number in range(60)]

    async def reserve(number: int) -> None:
        wanted = lines if number % 2 else lines[::-1]
        request = buyers[number].reserve().model_copy(update={"lines": wanted})
        await shops[number % WORKERS].stock.reserve(request)

    await asyncio.gather(*(reserve(number) for number in range(60)))
    assert await shop.counts("PROD-002") == await shop.counts("PROD-003") == (40, 60, 0)


@pytest.mark.parametrize("number", range(10))
async def test_one_of_two_orders_with_a_number_wins_and_its_repetition_agrees(
    shop: Shop, shops: list[Shop], number: int
) -> None:
    first = Buyer(uid="uid-a", name="a", order_id=f"ORDER-{number}")
    second = replace(first, uid="uid-b", name="b")
    requests = [first.receive(), second.receive(), first.receive()]
    before, other, again = await asyncio.gather(
        *(worker.orders.receive(request) for worker, request in zip(shops, requests, strict=False)),
        return_exceptions=True,
    )
    assert type(before) is type(again)
    assert {type(before), type(other)} == {Received, DuplicateOrder}
    assert len(await shop.rows(tables.orders)) == 1


async def test_two_workers_that_charge_one_operation_take_the_money_once(shop: Shop, shops: list[Shop]) -> None:
    buyers = [await shop.buyer(number) for number in range(20)]
    charges = [worker.payments.charge(buyer.charge()) for buyer in buyers for worker in shops[:2]]
    receipts = await asyncio.gather(*charges)
    assert receipts[::2] == receipts[1::2]
    assert [row["amount_minor"] for row in await shop.provider_log("charges")] == [750] * 20


async def test_a_parcel_that_is_taken_after_it_was_refused_is_told(shop: Shop) -> None:
    """A slow first attempt had its effect; its answer was thrown away for the refusal on record."""
    carrier = OfTwoMinds(shop.providers.carrier)
    till = Shop(shop.ledger, replace(shop.providers, carrier=carrier))
    buyer = await till.buyer()
    slow = asyncio.create_task(till.shipping.ship(buyer.ship()))
    await carrier.asked.wait()
    with pytest.raises(Undeliverable):
        await till.shipping.ship(buyer.ship())

    carrier.goes_on.set()

    with pytest.raises(OperationConflict, match="carried out after all, and the ledger has it as refused: not today"):
        await slow


async def test_a_packing_that_was_undone_while_its_answer_was_on_its_way_is_only_cancelled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The undo has taken apart what was packed: nothing is left to tell of."""
    buyer = await shop.buyer()
    warehouse, packed, answers = shop.providers.warehouse, asyncio.Event(), asyncio.Event()
    pack = warehouse.pack

    async def slow(*arguments: Any, **named: Any) -> None:
        await pack(*arguments, **named)
        packed.set()
        await answers.wait()

    monkeypatch.setattr(warehouse, "pack", slow)
    packing = asyncio.create_task(ActivityEnvironment().run(shop.warehouse.pack, buyer.pack(1)))
    await packed.wait()
    await shop.orders.halt(buyer.halt())
    await ActivityEnvironment().run(shop.warehouse.unpack, buyer.unpack())

    answers.set()

    with pytest.raises(OperationCancelled):
        await packing


async def test_a_change_of_lines_and_the_release_of_the_order_leave_no_piece_held(
    shop: Shop, shops: list[Shop]
) -> None:
    buyers = [await shop.buyer(number) for number in range(5)]
    for buyer in buyers:
        await shop.stock.reserve(buyer.reserve(1))

    async def change_and_undo(buyer: Buyer) -> None:
        answers = await asyncio.gather(
            shops[0].orders.change_lines(buyer.change_lines(a_line("1", 2))),
            shops[1].stock.release(buyer.release()),
            shops[2].stock.release(buyer.release("lines/2")),
            return_exceptions=True,
        )
        assert all(isinstance(answer, (Outcome, OrderError)) for answer in answers)

    await asyncio.gather(*(change_and_undo(buyer) for buyer in buyers))
    assert await shop.counts() == (10, 0, 0)


async def test_the_trail_of_an_order_that_several_workers_touch_has_no_gap(
    shop: Shop, shops: list[Shop], ledger_url: str
) -> None:
    buyer = await shop.buyer()
    requests = [buyer.fraud_check().model_copy(update={"operation_id": f"uid-1/fraud/{n}"}) for n in range(20)]
    await asyncio.gather(*(shops[n % WORKERS].fraud.check(request) for n, request in enumerate(requests)))
    assert len(await shop.rows(tables.audit_events)) == 21
    assert flaws(ledger_url) == []


async def test_who_waits_too_long_for_another_transaction_tries_again_later(
    shop: Shop, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 100)
    buyer = await shop.buyer()
    impatient = await Ledger.open(ledger_url)
    engine = connect(ledger_url)
    with engine.begin() as other:
        lock(other, buyer.identity)
        with pytest.raises(LedgerUnavailable):
            await impatient.transaction(lambda tx: lock(tx, buyer.identity))
    engine.dispose()
    await impatient.close()
