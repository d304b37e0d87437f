"""How the ledger's database is reached: a file of SQLite, or PostgreSQL, also behind PgBouncer or on several hosts."""

import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from order_worker import sqlite
from order_worker.ledger import refusals

T = TypeVar("T")

LOG = logging.getLogger(__name__)

POSTGRESQL_THREADS = 10

CONNECT_SECONDS = 5
"""How long a PostgreSQL that does not answer holds up a thread; half of what a step waits for the ledger. For a row
that somebody else has locked the patience is the same as with SQLite."""

STATEMENT_SECONDS = 10
"""The server gives up a statement that takes longer, and a transaction that hears nothing from us for so long. No step
waits longer for the ledger."""

SILENCE_SECONDS = 13.0
"""We give up a server that has not answered a statement by then. Its own limit did not help, so it is dead or stopped.
Keepalives notice most of that earlier, but end at the next proxy, and a stopped process still answers them."""

BEGINS_NOTHING = {"ledger_begins_nothing": True}
"""Execution options for a connection whose statements are no transaction: each counts by itself."""

PATIENT = {"ledger_patient": True}
"""Execution options for reading the whole of the books and for migrations: no limit to a statement."""

SNAPSHOT = {**PATIENT, "ledger_snapshot": True}
"""Execution options for a transaction that only reads, and sees nothing of what is committed after its first read."""

_DRIVER = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}

_POSTGRESQL_DEFAULTS = {
    "application_name": "order-worker",
    "connect_timeout": str(CONNECT_SECONDS),
    # Sent and not acknowledged, or nothing heard while waiting: about seven seconds until the connection is given up.
    "tcp_user_timeout": str(1000 * CONNECT_SECONDS),
    "keepalives_idle": "3",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    # A standby, or a primary of yesterday, is no ledger. With several hosts this finds the primary of today.
    "target_session_attrs": "read-write",
}
"""The URL may say otherwise, as libpq's documentation describes."""


def connect(url: str, url_now: Callable[[], str] | None = None) -> Engine:
    """An engine for `sqlite:///file` or `postgresql://…`; opens nothing yet. `url_now` gives the URL for each new
    connection to a PostgreSQL, where it may change; what it raises as ValueError leaves the former one."""
    engine = _postgresql_engine(url, url_now) if url.startswith("postgresql:") else _sqlite_engine(url)
    event.listen(engine, "before_cursor_execute", refusals.refuse_unstorable)
    return engine


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        make_url(url).set(drivername=_DRIVER["sqlite"]),
        pool_size=2,  # one for transactions, one for the ping
        max_overflow=0,
        connect_args={"check_same_thread": False},
        json_serializer=refusals.storable_json,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql_engine(url: str, url_now: Callable[[], str] | None) -> Engine:
    # The driver reads the URL itself: SQLAlchemy knows no list of hosts. Nothing is set for a session, nothing is
    # prepared on the server: behind PgBouncer the next transaction may be on another one.
    engine = create_engine(
        f"{_DRIVER['postgresql']}://",
        pool_size=POSTGRESQL_THREADS + 1,  # one for the ping
        max_overflow=0,
        connect_args={**_POSTGRESQL_DEFAULTS, **conninfo_to_dict(url), "prepare_threshold": None, "autocommit": True},
        json_serializer=refusals.storable_json,
        use_native_hstore=False,
    )
    event.listen(engine, "do_connect", partial(_connect_postgresql, url_now))
    event.listen(engine, "begin", partial(_begin_postgresql, sqlite.BUSY_MILLISECONDS))
    event.listen(engine, "handle_error", _notice_a_lost_server)
    return engine


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up a server that stays silent."""

    silence_seconds: float | None = SILENCE_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """See the base class. Raises OperationalError, and closes, if the server says nothing for too long."""
        try:
            return super().wait(gen, interval, self.silence_seconds if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer for {self.silence_seconds} s, connection given up") from None


def _connect_postgresql(
    url_now: Callable[[], str] | None,
    _dialect: Dialect,
    _record: ConnectionPoolEntry,
    arguments: list[Any],
    options: dict[str, Any],
) -> DBAPIConnection:
    if url_now is not None:
        try:
            options.update(conninfo_to_dict(url_now()))
        except (ValueError, psycopg.ProgrammingError) as wrong:
            LOG.warning("the ledger's URL is not read again: %s", type(wrong).__name__)
    return BoundedConnection.connect(*arguments, **options)  # type: ignore[return-value]


def _begin_postgresql(lock_milliseconds: int, connection: Connection) -> None:
    options = connection.get_execution_options()
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    patient = "ledger_patient" in options
    driver.silence_seconds = None if patient else SILENCE_SECONDS
    if "ledger_begins_nothing" in options:
        return
    limit = 0 if patient else 1000 * STATEMENT_SECONDS
    # One message to the server, as BEGIN alone would be. Read committed whatever the database's default is: a
    # transaction that has waited for a row must see what the other one wrote.
    level = "REPEATABLE READ READ ONLY" if "ledger_snapshot" in options else "READ COMMITTED"
    connection.exec_driver_sql(
        f"BEGIN ISOLATION LEVEL {level}; "
        f"SET LOCAL lock_timeout = {lock_milliseconds}; "
        f"SET LOCAL statement_timeout = {limit}; "
        f"SET LOCAL idle_in_transaction_session_timeout = {limit}"
    )


def _notice_a_lost_server(context: ExceptionContext) -> None:
    # The pool lets go of all its connections then, and the next ones find the server that answers now.
    if refusals.sqlstate(context.original_exception) in refusals.OF_A_LOST_SERVER:
        context.is_disconnect = True


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    sqlite.prepare(connection)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once when another process wrote between.
    if "ledger_begins_nothing" not in connection.get_execution_options():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
