"""Reading the whole ledger as it is at one moment, while workers write."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from order_domain.errors import LedgerUnavailable
from order_worker.ledger import schema
from order_worker.ledger.connections import SNAPSHOT, connect
from order_worker.sqlite import BUSY_MILLISECONDS


@contextmanager
def snapshot(url: str) -> Iterator[Connection]:
    """One read-only transaction that sees nothing of what is committed after its first read. No writer waits for it.

    Raises SchemaMismatch when the database is not at the schema of this code, LedgerUnavailable when it does not
    answer or is not there; a file is never created."""
    engine = _sqlite(url) if url.startswith("sqlite") else connect(url)
    try:
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(**SNAPSHOT)
        with engine.connect() as connection, connection.begin():
            schema.check(connection)
            yield connection
    except DBAPIError as error:
        raise LedgerUnavailable(f"the ledger does not answer: {type(error).__name__}") from error
    finally:
        engine.dispose()


def _sqlite(url: str) -> Engine:
    path = Path(make_url(url).database or "")

    def open_file() -> sqlite3.Connection:
        # `rw`: a reader of a write-ahead log writes to its index, and `ro` cannot open a log that nobody has open.
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False)

    engine = create_engine("sqlite+pysqlite:///", creator=open_file)
    event.listen(engine, "connect", _prepare)
    # Deferred: the read lock that the first read takes keeps nobody from writing.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN DEFERRED"))
    return engine


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    connection.execute("PRAGMA query_only=ON")
