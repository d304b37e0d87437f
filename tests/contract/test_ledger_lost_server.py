"""A PostgreSQL that stops, loses connections, or gives a transaction up for others costs one transaction at most."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from ledger_databases import own_database
from sqlalchemy import Connection, text

from order_devstack.postgresql import PostgreSQL
from order_domain.errors import LedgerUnavailable
from order_worker.ledger import connections, database
from order_worker.ledger.database import Ledger
from order_worker.ledger.stock import ensure


@pytest.fixture
def url(postgresql: PostgreSQL, migrated_database: str) -> Iterator[str]:
    with own_database(postgresql, template=migrated_database) as url:
        yield url


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(url)
    yield opened
    await opened.close()


def backend(tx: Connection) -> int:
    return int(tx.execute(text("SELECT pg_backend_pid()")).scalar_one())


def administer(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def end_all(url: str) -> None:
    administer(
        url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def lock_article(tx: Connection, sku: str) -> None:
    tx.execute(text("SELECT 1 FROM stock WHERE sku = :sku FOR UPDATE"), {"sku": sku}).one()


async def test_a_deadlock_is_tried_again_and_both_succeed(ledger: Ledger) -> None:
    await ledger.transaction(lambda tx: ensure(tx, {"A": 1, "B": 1}))
    both_hold_one = threading.Barrier(2, timeout=20)
    runs: list[str] = []

    def lock_two(tx: Connection, first: str, second: str) -> str:
        runs.append(first)
        lock_article(tx, first)
        if len(runs) <= 2:
            both_hold_one.wait()
        lock_article(tx, second)
        return first

    answers = await asyncio.gather(
        ledger.transaction(lambda tx: lock_two(tx, "A", "B")), ledger.transaction(lambda tx: lock_two(tx, "B", "A"))
    )
    assert answers == ["A", "B"]
    assert len(runs) == 3


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_what_the_database_gives_up_each_time_is_unavailable_in_the_end(
    ledger: Ledger, sqlstate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PAUSES", (0.0, 0.0))
    runs = []

    def give_up(tx: Connection) -> None:
        runs.append(backend(tx))
        tx.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'for others' USING ERRCODE = '{sqlstate}'; END $$"))

    with pytest.raises(LedgerUnavailable):
        await ledger.transaction(give_up)
    assert len(runs) == 3


async def test_connections_that_died_while_idle_cost_nothing(ledger: Ledger, url: str) -> None:
    await asyncio.gather(*(ledger.transaction(backend) for _ in range(10)))
    await ledger.ping()
    end_all(url)
    await ledger.ping()
    end_all(url)
    assert await asyncio.gather(*(ledger.transaction(backend) for _ in range(10)))


async def test_a_transaction_whose_server_dies_is_lost_and_the_next_succeeds(ledger: Ledger, url: str) -> None:
    def die(tx: Connection) -> None:
        tx.execute(text("INSERT INTO stock VALUES ('A', 1, 0, 1, 0, 0)"))
        end_all(url)
        tx.execute(text("SELECT 1"))

    with pytest.raises(LedgerUnavailable):
        await ledger.transaction(die)
    assert await ledger.transaction(lambda tx: tx.execute(text("SELECT count(*) FROM stock")).scalar_one()) == 0


async def test_a_server_that_stops_in_the_middle_of_a_statement_holds_a_thread_for_seconds(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE_SECONDS", 0.5)
    stopped: list[int] = []

    def stop_it(tx: Connection) -> None:
        stopped.append(backend(tx))
        os.kill(stopped[0], signal.SIGSTOP)  # the machine answers for it, and so keepalives do not see it
        tx.execute(text("SELECT 1"))

    began = time.monotonic()
    try:
        with pytest.raises(LedgerUnavailable):
            await ledger.transaction(stop_it)
        assert time.monotonic() - began < 5
        assert await ledger.transaction(backend) != stopped[0]
    finally:
        os.kill(stopped[0], signal.SIGCONT)


async def test_a_primary_of_yesterday_is_left_at_once(ledger: Ledger) -> None:
    """After a failover the old server may still answer, and refuses to write."""
    seen = []

    def write(tx: Connection) -> None:
        seen.append(backend(tx))
        tx.execute(text("SET TRANSACTION READ ONLY"))
        tx.execute(text("INSERT INTO stock VALUES ('A', 1, 0, 1, 0, 0)"))

    with pytest.raises(LedgerUnavailable):
        await ledger.transaction(write)
    assert await ledger.transaction(backend) not in seen


async def test_a_server_that_only_reads_is_no_ledger(ledger: Ledger, url: str) -> None:
    await ledger.ping()
    name = administer(url, "SELECT current_database()")[0][0]
    administer(url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    end_all(url)
    with pytest.raises(LedgerUnavailable):
        await ledger.ping()
    with pytest.raises(LedgerUnavailable):
        await ledger.transaction(backend)


async def test_the_first_host_that_is_a_primary_is_the_ledger(url: str) -> None:
    several = url.replace("host=", "host=%2Fnowhere,") + "&target_session_attrs=read-write"
    ledger = await Ledger.open(several)
    assert await ledger.transaction(backend)
    await ledger.close()


async def test_a_transaction_has_bounds_on_the_server(ledger: Ledger) -> None:
    def bounds(tx: Connection) -> list[str]:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
        return [str(tx.execute(text(f"SHOW {name}")).scalar_one()) for name in names]

    assert await ledger.transaction(bounds) == ["5s", "10s", "10s", "read committed"]


async def test_reading_the_whole_of_the_books_takes_as_long_as_it_takes(url: str) -> None:
    ledger = await Ledger.open(url, patient=True)
    assert await ledger.transaction(lambda tx: tx.execute(text("SHOW statement_timeout")).scalar_one()) == "0"
    await ledger.close()


async def test_a_statement_that_takes_too_long_ends_on_the_server(
    ledger: Ledger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STATEMENT_SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        await ledger.transaction(lambda tx: tx.execute(text("SELECT pg_sleep(60)")).scalar())
    assert time.monotonic() - began < 10
    asleep = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
    assert administer(url, asleep) == []


async def test_nothing_is_set_for_a_session_and_nothing_prepared(ledger: Ledger) -> None:
    """Behind a pooler the session is somebody else's in the next moment."""
    for _ in range(10):
        await ledger.transaction(
            lambda tx: tx.execute(text("SELECT 1 FROM stock WHERE sku = :sku"), {"sku": "A"}).all()
        )
    settings = "SELECT name FROM pg_settings WHERE source = 'session'"
    with ledger._engine.connect().execution_options(**connections.BEGINS_NOTHING) as connection:
        assert connection.execute(text(settings)).scalars().all() in ([], ["transaction_isolation"])
        assert connection.execute(text("SELECT * FROM pg_prepared_statements")).all() == []


async def test_keepalives_find_a_machine_that_is_gone(ledger: Ledger) -> None:
    options = await ledger.transaction(lambda tx: tx.connection.driver_connection.info.get_parameters())  # type: ignore[union-attr]
    wanted = {"keepalives_idle": "3", "keepalives_interval": "2", "keepalives_count": "2", "tcp_user_timeout": "5000"}
    assert wanted.items() <= options.items()
