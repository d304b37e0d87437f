"""The ledger on PostgreSQL as teams run it: another collation, behind PgBouncer, with a standby that takes over."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from ledger_databases import migrate
from shop import Buyer, Shop, a_line
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from order_devstack.failover import ReplicatedPostgreSQL, replicated
from order_devstack.pgbouncer import pooled
from order_devstack.postgresql import PostgreSQL
from order_domain.errors import LedgerUnavailable, OutOfStock
from order_worker.bootstrap import Providers
from order_worker.ledger import anchors, tables
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.ledger.verification import Verification

ARTICLES = ["a-1", "B-1", "c-1", "D-1", "e-1", "F-1"]
"""In another order by the rules of a language than by their bytes."""


@pytest.fixture
def icu_url(postgresql: PostgreSQL) -> Iterator[str]:
    postgresql.create("icu", icu_locale="en-US")
    migrate(postgresql.url("icu"))
    yield postgresql.url("icu")
    postgresql.drop("icu")


@pytest.fixture
def pooled_url(postgresql: PostgreSQL) -> Iterator[str]:
    postgresql.create("behind")
    with pooled(postgresql, size=4) as pooler:
        migrate(pooler.url("behind"))
        yield pooler.url("behind")
    postgresql.drop("behind")


@pytest.fixture
def primary() -> Iterator[ReplicatedPostgreSQL]:
    with replicated() as server:
        server.create("ledger")
        migrate(server.url("ledger"))
        yield server


@pytest.fixture
async def opened(providers: Providers) -> AsyncIterator["Opened"]:
    shops = Opened(providers)
    yield shops
    await shops.close()


class Opened:
    """Shops of several workers."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._ledgers: list[Ledger] = []

    async def shop(self, url: str) -> Shop:
        self._ledgers.append(await Ledger.open(url))
        return Shop(self._ledgers[-1], self._providers)

    async def close(self) -> None:
        for ledger in self._ledgers:
            await ledger.close()


def test_an_anchor_waits_for_another_that_is_being_written(
    icu_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's call beside that of the schedule replaced its file, and the ledger's anchor counted as forged."""
    engine = connect(icu_url)
    write_file = anchors._write_file
    with engine.begin() as first, engine.connect() as second:
        second.execute(text("SET lock_timeout = 50"))

        def beside_another(folder: Path, anchor: anchors.Anchor) -> None:
            monkeypatch.setattr(anchors, "_write_file", write_file)
            with pytest.raises(OperationalError, match="lock timeout"):
                anchors.write(second, None, folder)
            write_file(folder, anchor)

        monkeypatch.setattr(anchors, "_write_file", beside_another)
        written = anchors.write(first, None, tmp_path)
    engine.dispose()
    assert [anchor.digest() for anchor in anchors.read([tmp_path])] == [written.digest()]


async def carry_through(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.receive(buyer.receive())
    await shop.fraud.check(buyer.fraud_check())
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())


async def undo(shop: Shop, buyer: Buyer) -> None:
    await shop.orders.receive(buyer.receive())
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    await shop.orders.halt(buyer.halt())
    await shop.shipping.cancel(buyer.cancel_shipment())
    await shop.payments.refund(buyer.refund())
    await shop.stock.release(buyer.release())
    await shop.orders.close(buyer.close("Order Cancelled"))


def a_buyer(number: int) -> Buyer:
    return Buyer(uid=f"uid-{number}", name=f"order-{number}", order_id=f"ORDER-{number}")


def deadlocks(tx: Connection) -> int:
    tx.execute(text("SELECT pg_stat_clear_snapshot()"))
    return int(tx.execute(text("SELECT deadlocks FROM pg_stat_database WHERE datname = 'icu'")).scalar_one())


async def test_reserving_against_releasing_never_deadlocks_in_a_database_with_a_language(
    icu_url: str, opened: Opened
) -> None:
    one, other = await opened.shop(icu_url), await opened.shop(icu_url)
    await one.stocked(**dict.fromkeys(ARTICLES, 100_000))
    lines = [a_line(str(number), 1, sku=sku) for number, sku in enumerate(ARTICLES)]
    buyers = [await one.buyer(number) for number in range(80)]
    requests = [buyer.reserve().model_copy(update={"lines": lines}) for buyer in buyers]
    for request in requests[:40]:
        await one.stock.reserve(request)
    await asyncio.gather(
        *(one.stock.reserve(request) for request in requests[40:]),
        *(other.stock.release(buyer.release()) for buyer in buyers[:40]),
    )
    assert [await one.counts(sku) for sku in ARTICLES] == [(100_000 - 40, 40, 0)] * len(ARTICLES)
    assert await one.ledger.transaction(deadlocks) == 0


async def test_reserving_and_selling_in_opposite_orders_never_deadlocks_there(icu_url: str, opened: Opened) -> None:
    one, other = await opened.shop(icu_url), await opened.shop(icu_url)
    await one.stocked(**dict.fromkeys(ARTICLES, 100_000))
    lines = [a_line(str(number), 1, sku=sku) for number, sku in enumerate(ARTICLES)]
    buyers = [await one.buyer(number) for number in range(60)]

    async def buy(number: int) -> None:
        shop, wanted = (one, lines) if number % 2 else (other, lines[::-1])
        await shop.stock.reserve(buyers[number].reserve().model_copy(update={"lines": wanted}))
        await shop.stock.commit(buyers[number].commit())

    await asyncio.gather(*(buy(number) for number in range(60)))
    assert [await one.counts(sku) for sku in ARTICLES] == [(100_000 - 60, 0, 60)] * len(ARTICLES)
    assert await one.ledger.transaction(deadlocks) == 0


async def test_nothing_is_oversold_there(icu_url: str, opened: Opened) -> None:
    one, other = await opened.shop(icu_url), await opened.shop(icu_url)
    await one.stocked(PROD_001=20)
    buyers = [await one.buyer(number) for number in range(40)]
    answers = await asyncio.gather(
        *((one, other)[n % 2].stock.reserve(buyer.reserve(1)) for n, buyer in enumerate(buyers)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, OutOfStock) for answer in answers) == 20
    assert await one.counts() == (0, 20, 0)


@pytest.mark.long
async def test_orders_of_two_workers_go_through_a_pooler_with_fewer_connections(
    pooled_url: str, opened: Opened
) -> None:
    one, other = await opened.shop(pooled_url), await opened.shop(pooled_url)
    await one.stocked(PROD_001=1000)
    await asyncio.gather(*(carry_through((one, other)[n % 2], a_buyer(n)) for n in range(20)))
    await asyncio.gather(*(undo((one, other)[n % 2], a_buyer(n)) for n in range(20, 40)))
    await one.ledger.ping()
    assert await one.counts() == (960, 0, 40)
    payments = await one.rows(tables.payments)
    assert sorted(row["captured_minor"] - row["refunded_minor"] for row in payments) == [0] * 20 + [750] * 20
    assert await one.ledger.transaction(lambda tx: list(Verification().flaws(tx))) == []


@pytest.mark.long
async def test_a_bound_of_one_transaction_does_not_reach_another_client_of_the_pooler(
    pooled_url: str, opened: Opened
) -> None:
    shop = await opened.shop(pooled_url)
    patient = await Ledger.open(pooled_url, patient=True)
    asked = text("SHOW statement_timeout")
    for _ in range(5):
        assert await shop.ledger.transaction(lambda tx: tx.execute(asked).scalar_one()) == "10s"
        assert await patient.transaction(lambda tx: tx.execute(asked).scalar_one()) == "0"
    await patient.close()


@pytest.mark.long
async def test_a_failover_in_the_middle_of_a_transaction_is_an_unknown_end_and_repeated_counts_once(
    primary: ReplicatedPostgreSQL, opened: Opened
) -> None:
    shop = await opened.shop(primary.url("ledger"))
    await shop.stocked(PROD_001=10)
    buyer = await shop.buyer()
    await shop.stock.reserve(buyer.reserve())
    in_the_middle, gone = threading.Event(), threading.Event()

    def charge_half(tx: Connection) -> None:
        tx.execute(text("UPDATE stock SET on_hand = on_hand - 1, sold = sold + 1"))
        in_the_middle.set()
        gone.wait(60)

    lost = asyncio.ensure_future(shop.ledger.transaction(charge_half))
    await asyncio.to_thread(in_the_middle.wait, 60)
    await asyncio.to_thread(primary.fail_over)
    gone.set()
    with pytest.raises(LedgerUnavailable):
        await lost

    await shop.ledger.ping()
    await shop.payments.charge(buyer.charge())
    await shop.payments.charge(buyer.charge())
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())
    assert await shop.counts() == (8, 0, 2)
    assert [row["captured_minor"] for row in await shop.rows(tables.payments)] == [750]
    assert [row["amount_minor"] for row in await shop.provider_log("charges")] == [750]


@pytest.mark.long
async def test_a_failover_under_load_loses_no_order_and_doubles_none(
    primary: ReplicatedPostgreSQL, opened: Opened
) -> None:
    shop = await opened.shop(primary.url("ledger"))
    await shop.stocked(PROD_001=1000)
    begun = asyncio.Event()

    async def until_done(number: int) -> int:
        """As Temporal does: each step again until it answers."""
        lost = 0
        while True:
            try:
                await carry_through(shop, a_buyer(number))
            except LedgerUnavailable:
                lost += 1
                await asyncio.sleep(0.05)
            else:
                begun.set()
                return lost

    orders = [asyncio.ensure_future(until_done(number)) for number in range(60)]
    await begun.wait()
    await asyncio.to_thread(primary.fail_over)
    assert sum(await asyncio.gather(*orders)) > 0
    assert await shop.counts() == (880, 0, 120)
    assert [row["amount_minor"] for row in await shop.provider_log("charges")] == [750] * 60
    assert {row["status"] for row in await shop.rows(tables.orders)} == {"Order Completed"}
    assert await shop.ledger.transaction(lambda tx: list(Verification().flaws(tx))) == []


@pytest.mark.long
async def test_a_list_of_hosts_leads_to_the_server_that_writes(primary: ReplicatedPostgreSQL, opened: Opened) -> None:
    both = primary.url("ledger").replace("host=", f"host={str(primary.standby_folder).replace('/', '%2F')},")
    shop = await opened.shop(both)
    await shop.stocked(PROD_001=10)
    assert await shop.counts() == (10, 0, 0)
