"""Where the simulated providers keep what they did, so that tests and operators can audit them.

It is the providers' side of the story: nothing reads it to decide about an order. It must live as long as the ledger:
an order cannot be undone by a provider that has forgotten it. So it is a file beside a ledger on SQLite, which several
worker processes may use, and a schema of its own in the database of a ledger on PostgreSQL (`postgresql_store.py`),
where workers come and go.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from order_domain.errors import ProviderUnavailable
from order_worker import sqlite

T = TypeVar("T")


class Row(Protocol):
    """One row, by the names of its columns."""

    def __getitem__(self, column: str, /) -> Any:
        """Raises KeyError or IndexError for an unknown one."""


class Found(Protocol):
    """What a statement has found."""

    def fetchone(self) -> Any:
        """The next row, a `Row`; None after the last."""

    def fetchall(self) -> list[Any]:
        """All rows."""


class Transaction(Protocol):
    """A transaction, during which nobody else writes."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Found:
        """One statement; each `?` stands for one of the values."""


SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('captured', 'declined', 'void')),
    amount_minor INTEGER, currency TEXT, method TEXT, transaction_id TEXT UNIQUE, decline_code TEXT,
    at TEXT NOT NULL,
    CHECK (state = 'void' OR (amount_minor IS NOT NULL AND currency IS NOT NULL AND method IS NOT NULL))
) STRICT;
CREATE TABLE IF NOT EXISTS refunds (
    key TEXT PRIMARY KEY,
    charge_key TEXT NOT NULL REFERENCES charges (key),
    amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, refund_id TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS refunds_of_charge ON refunds (charge_key);
CREATE TABLE IF NOT EXISTS packed_lines (
    key TEXT NOT NULL, line_id TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
    at TEXT NOT NULL, unpacked_at TEXT,
    PRIMARY KEY (key, line_id)
) STRICT;
CREATE TABLE IF NOT EXISTS unpackings (
    key TEXT PRIMARY KEY,
    at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS shipments (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('dispatched', 'cancelled', 'void')),
    sku TEXT, quantity INTEGER, address TEXT, tracking_number TEXT UNIQUE, estimated_delivery TEXT,
    at TEXT NOT NULL, cancelled_at TEXT, delivered_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS labels (
    key TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS supplier_orders (
    key TEXT PRIMARY KEY,
    sku TEXT NOT NULL, quantity INTEGER NOT NULL, reference TEXT NOT NULL UNIQUE, expected_at TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS mails (
    key TEXT PRIMARY KEY,
    recipient TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
"""

ONE_REFUND_PER_CHARGE = """
ALTER TABLE refunds RENAME TO refunds_before;
CREATE TABLE refunds (
    key TEXT PRIMARY KEY,
    charge_key TEXT NOT NULL REFERENCES charges (key),
    amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, refund_id TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL
) STRICT;
INSERT INTO refunds SELECT key, charge_key, amount_minor, currency, refund_id, at FROM refunds_before;
DROP TABLE refunds_before
"""
"""How a file of the time when a charge had at most one refund becomes one of today."""

ADDED = {"packed_lines": "unpacked_at", "shipments": "delivered_at"}
"""Columns of texts that such a file does not have."""


class ProviderStore:
    """One SQLite file, used from one thread."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file, and create it with its tables where missing."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="providers")
        connection = await asyncio.get_running_loop().run_in_executor(thread, _connect, path)
        return cls(connection, thread)

    async def transaction(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` as one transaction; what it raises rolls back. Raises ProviderUnavailable when the file stays
        locked."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[Transaction], T]) -> T:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise ProviderUnavailable(f"the simulated providers' store does not answer: {error}") from error
        return result

    async def close(self) -> None:
        """Wait for a running transaction, then close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    sqlite.prepare(connection)
    _bring_up_to_date(connection)
    connection.executescript(SCHEMA)
    return connection


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """A file that an earlier release made; another process may be about to do the same."""
    connection.execute("BEGIN IMMEDIATE")
    if "charge_key" in _columns(connection, "refunds", "AND pk > 0"):
        for statement in ONE_REFUND_PER_CHARGE.split(";"):
            connection.execute(statement)
    for table, column in ADDED.items():
        columns = _columns(connection, table)
        if columns and column not in columns:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")
    connection.execute("COMMIT")


def _columns(connection: sqlite3.Connection, table: str, which: str = "") -> list[str]:
    """None of a table that does not exist."""
    query = f"SELECT name FROM pragma_table_info(?) WHERE true {which}"  # noqa: S608 - constants above
    return [row["name"] for row in connection.execute(query, (table,))]


def now() -> str:
    """This moment, as the store writes it."""
    return datetime.now(UTC).isoformat()
