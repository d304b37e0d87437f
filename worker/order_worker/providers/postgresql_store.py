"""The simulated providers' memory in a PostgreSQL database: the same tables, in a schema of their own.

Made for simulation, not for speed: transactions of all workers run one after the other, as they do in the SQLite file.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

from order_domain.errors import LedgerUnavailable, ProviderUnavailable
from order_process.settings import SettingsError
from order_worker.providers.store import SCHEMA, Found, ProviderStore, Transaction
from order_worker.sqlite import BUSY_MILLISECONDS

T = TypeVar("T")

NAME = "simulated_providers"
CONNECT_SECONDS = 5

_LOCK = 0x0D0C_A7A1
"""Any number that no other program of this database takes for its advisory lock."""

# Settings of the transaction alone: a pooler may give the next one another session.
_BEGIN = f"""
SET LOCAL search_path TO {NAME};
SET LOCAL lock_timeout = {BUSY_MILLISECONDS};
SELECT pg_advisory_xact_lock({_LOCK})
"""
# Not `IF NOT EXISTS`: that asks for the right to create schemas even where there is nothing to do.
_KNOWN = f"SELECT 1 AS known FROM pg_namespace WHERE nspname = '{NAME}'"  # noqa: S608 - the constant above
_CREATE = f"CREATE SCHEMA {NAME}"
_TABLES = SCHEMA.replace(") STRICT;", ");").replace("INTEGER", "BIGINT")


class _Session:
    """A connection that takes statements as SQLite does."""

    def __init__(self, connection: psycopg.Connection[DictRow]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Found:
        """See `Transaction`."""
        return self._connection.execute(statement.replace("?", "%s").encode(), values)


class PostgreSQLProviderStore(ProviderStore):
    """One connection, used from one thread, and opened again after it broke."""

    def __init__(self, url_now: Callable[[], str], thread: ThreadPoolExecutor) -> None:
        self._url_now = url_now
        self._thread = thread
        self._session: psycopg.Connection[DictRow] | None = None

    @classmethod
    async def open_url(cls, url: str, url_now: Callable[[], str] | None = None) -> Self:
        """Create the schema and its tables where missing. Raises SettingsError where the user of `url` may not,
        LedgerUnavailable where the database does not answer. `url_now` gives the URL for each connection, where it
        may change."""
        store = cls(url_now or (lambda: url), ThreadPoolExecutor(1, thread_name_prefix="providers"))
        try:
            await asyncio.get_running_loop().run_in_executor(store._thread, store._prepare)
        except BaseException:
            await store.close()
            raise
        return store

    def _prepare(self) -> None:
        try:
            connection = self._connected()
            with connection.transaction():
                connection.execute(_BEGIN.encode())
                known = connection.execute(_KNOWN.encode()).fetchone()
                if known is None:
                    connection.execute(_CREATE.encode())
                connection.execute(_TABLES.encode())
        except psycopg.errors.InsufficientPrivilege as error:
            raise SettingsError(
                f"the simulated providers keep their books in the schema {NAME} of the ledger's database, and its user "
                f"may not create it: CREATE SCHEMA {NAME} AUTHORIZATION <user>"
            ) from error
        except psycopg.OperationalError as error:
            raise LedgerUnavailable(f"the ledger's database does not answer: {type(error).__name__}") from error

    def _run(self, work: Callable[[Transaction], T]) -> T:
        try:
            connection = self._connected()
            with connection.transaction():
                connection.execute(_BEGIN.encode())
                return work(_Session(connection))
        except psycopg.OperationalError as error:
            raise ProviderUnavailable(
                f"the simulated providers' store does not answer: {type(error).__name__}"
            ) from error

    def _connected(self) -> psycopg.Connection[DictRow]:
        if self._session is None or self._session.closed:
            try:
                url = self._url_now()
            except ValueError as error:
                raise ProviderUnavailable(str(error)) from error
            # Prepared statements belong to a session, and a pooler in transaction mode has none to give.
            self._session = psycopg.connect(
                url,
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
                connect_timeout=CONNECT_SECONDS,
            )
        return self._session

    async def close(self) -> None:
        """Wait for a running transaction, then disconnect."""
        if self._session is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._session.close)
        self._thread.shutdown()
