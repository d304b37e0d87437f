"""The connection to the ledger's database, and its transactions."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

import psycopg
from sqlalchemy import Column, Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.dml import ReturningInsert

from order_domain.errors import LedgerUnavailable, OrderError
from order_worker import sqlite
from order_worker.ledger import schema
from order_worker.ledger.audit_keys import KeyRing

T = TypeVar("T")

DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}

POSTGRESQL_CONNECTIONS = 10

CONNECT_SECONDS = 5
"""How long a PostgreSQL that does not answer holds up a thread; half of what a step waits for the ledger. For a row
that somebody else has locked the patience is the same as with SQLite."""


def connect(url: str) -> Engine:
    """An engine for `sqlite:///file` or `postgresql://…`; opens nothing yet."""
    parsed = make_url(url)
    address = parsed.set(drivername=DRIVERS[parsed.drivername])
    if parsed.drivername == "sqlite":
        engine = create_engine(address, pool_size=1, max_overflow=0, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    else:
        engine = create_engine(
            address,
            pool_size=POSTGRESQL_CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": 1000 * CONNECT_SECONDS},
        )
        event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    assert isinstance(connection, psycopg.Connection)
    connection.execute(f"SET lock_timeout = {sqlite.BUSY_MILLISECONDS}".encode())
    connection.commit()


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    sqlite.prepare(connection)


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once when another process wrote between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def insert_unless_present(table: Table, key: Column[str]) -> Mapping[str, ReturningInsert[tuple[str]]]:
    """By dialect, an insert that gives the row's `key`, or no row where a unique key is there already. It waits for a
    transaction that is about to insert the same."""
    return {
        "sqlite": sqlite_dialect.insert(table).on_conflict_do_nothing().returning(key),
        "postgresql": postgresql_dialect.insert(table).on_conflict_do_nothing().returning(key),
    }


class Ledger:
    """The books of the shop. Every change is one function of a connection, run as one transaction.

    Transactions run on threads with SQLAlchemy's synchronous engine: the asynchronous one hops between threads at
    every statement and costs three times the CPU (3.0 against 1.0 ms for six statements on SQLite). SQLite gets one
    thread, since it has one writer anyway and our own queue is fair where its busy-waiting is not.
    """

    def __init__(self, engine: Engine, audit_keys: KeyRing | None = None) -> None:
        engine.update_execution_options(audit_keys=audit_keys)
        self._engine = engine
        self.audit_keyed = audit_keys is not None
        """Whether new events of the audit trail are sealed with a key."""
        size = 1 if engine.dialect.name == "sqlite" else POSTGRESQL_CONNECTIONS
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="ledger")

    @classmethod
    async def open(cls, url: str, audit_keys: KeyRing | None = None) -> Self:
        """Without `audit_keys` the audit chain goes on without a key. Raises SchemaMismatch when the database is not at
        the schema of this code, LedgerUnavailable when it does not answer."""
        ledger = cls(connect(url), audit_keys)
        try:
            await ledger.transaction(schema.check)
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def transaction(self, work: Callable[[Connection], T | OrderError]) -> T:
        """Run `work` and commit, even if it returns an OrderError, which is raised afterwards: a refusal is worth
        recording. What it raises rolls back. Raises LedgerUnavailable when the database does not answer; whether it
        committed is unknown then, so `work` must be safe to repeat.
        """
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._threads, partial(self._run, work))
        if isinstance(result, OrderError):
            raise result
        return result

    def _run(self, work: Callable[[Connection], T | OrderError]) -> T | OrderError:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except (IntegrityError, DataError):
            raise  # the database answered, and refused what our own code asks
        except (DBAPIError, PoolTimeout) as error:
            raise LedgerUnavailable(f"the ledger does not answer: {type(error).__name__}") from error

    async def ping(self) -> None:
        """Raises LedgerUnavailable unless the database answers."""
        await self.transaction(lambda tx: tx.execute(text("SELECT 1")).scalar_one())

    async def close(self) -> None:
        """Wait for running transactions, then disconnect."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()
