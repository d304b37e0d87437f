"""Bringing the database to the schema of this code, and refusing to work on one that does not suit it.

Releases overlap: during a rollout, and after a rollback, code N meets the schema of N+1. Each migration says with
`oldest_code` which revision's code still runs on what it makes; the database keeps that (`schema_revisions`), where
code that does not know the migration reads it. Code up to revision 0004 asks for exactly its own revision when it
starts; once open it goes on.
"""

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from order_domain.errors import LedgerUnavailable
from order_worker.ledger import refusals
from order_worker.ledger.connections import BEGINS_NOTHING, PATIENT

T = TypeVar("T")

LOG = logging.getLogger(__name__)

LOCK_MILLISECONDS = 2500
"""A migration that waits for a table makes everybody wait who comes after it: half as long as they have patience."""

WAITING_SECONDS = 300.0
"""After so long a migration that gets no lock is given up. It has held nobody up meanwhile, save for the moments in
which it tried."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = int.from_bytes(b"order")
"""PostgreSQL's advisory locks are known by a number that all programs of a database agree on."""

_LOCKED = frozenset({"55P03", "40P01"})
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0

schema_revisions = Table(
    "schema_revisions",
    MetaData(),  # like alembic's own table it belongs to no migration
    Column("revision", String(32), primary_key=True),
    Column("oldest_code", String(32), nullable=False),
)

_OTHERS = text("""
SELECT pid, application_name, state, extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND pid IN (
    SELECT locks.pid FROM pg_locks AS locks LEFT JOIN pg_class AS tables ON tables.oid = locks.relation
    WHERE locks.granted AND (
        locks.locktype = 'advisory'
        OR tables.relkind IN ('r', 'p') AND tables.relnamespace = to_regnamespace(current_schema()::text)
    ) AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
AND application_name <> :own
ORDER BY xact_start
LIMIT 3
""")
_OWN_NAME = "order-worker migrate"


class SchemaMismatch(Exception):
    """The database's schema is not one that this code can work on."""


def check(connection: Connection) -> None:
    """Raises SchemaMismatch, with what to do, unless this code can work on the database's schema."""
    scripts = _scripts()
    revision = MigrationContext.configure(connection).get_current_revision()
    head = scripts.get_current_head()
    if revision == head:
        return
    if revision is None or _knows(scripts, revision):
        raise SchemaMismatch(
            f"the ledger's schema is at {revision or 'nothing'}, this worker needs {head}: run `order-worker migrate`"
        )
    _refuse_unless_suitable(connection, revision, str(head))


def note_oldest_code(connection: Connection, script: Script) -> None:
    """Keep, together with the migration, which code still runs on the schema that it makes."""
    schema_revisions.create(connection, checkfirst=True)
    oldest = getattr(script.module, "oldest_code", script.revision)
    connection.execute(schema_revisions.insert().values(revision=script.revision, oldest_code=oldest))


def migrate(engine: Engine, report: Callable[[str], object] = LOG.info) -> str:
    """Apply all missing migrations, each in a transaction of its own, and return the revision reached. `report` gets a
    line for each and whenever one has to wait.

    A database that a newer release has migrated is left as it is if this code can work on it. Of two migrations at
    once, one waits and finds nothing left to do. Raises SchemaMismatch if the database is too new for this code,
    LedgerUnavailable if it does not answer or a lock cannot be had, with what is known of who holds it.
    """
    try:
        waiting = _Waiting(engine, report)
        with _alone(engine, waiting):
            while (step := _missing(engine)) is not None:
                report(f"migrating the ledger's schema to {step.revision}: {step.doc}")
                waiting.until_free(f"migration {step.revision}", partial(_apply, engine, step))
            with engine.begin() as connection:
                return str(MigrationContext.configure(connection).get_current_revision())
    except OperationalError as error:
        raise LedgerUnavailable("the ledger cannot be migrated now") from error


class _Waiting:
    """Tries again and again what needs a lock that others hold, and never queues for it for long."""

    def __init__(self, engine: Engine, report: Callable[[str], object]) -> None:
        self._engine = engine
        self._report = report
        self._deadline = time.monotonic() + WAITING_SECONDS

    def until_free(self, what: str, action: Callable[[], T]) -> T:
        """What `action` gives. Raises LedgerUnavailable, with who holds a lock, after WAITING_SECONDS in all."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return action()
            except DBAPIError as error:
                if not _is_locked(error):
                    raise
                holders = self._holders()
                if time.monotonic() + pause > self._deadline:
                    raise LedgerUnavailable(
                        f"{what} got no lock within {WAITING_SECONDS:.0f} s and was given up{holders}"
                    ) from error
                self._report(f"{what} waits for a lock{holders}; next attempt in {pause:.1f} s")
            time.sleep(pause * random.uniform(1.0, 1.2))  # noqa: S311 - spreads retries, guards nothing
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _holders(self) -> str:
        if self._engine.dialect.name == "sqlite":
            return ""
        with self._engine.connect().execution_options(**BEGINS_NOTHING) as connection:
            rows = connection.execute(_OTHERS, {"own": _OWN_NAME}).all()
        named = [
            f"process {row.pid} ({row.application_name or 'unnamed'}, {row.state or 'state hidden'}, "
            f"in a transaction for {'?' if row.seconds is None else row.seconds} s)"
            for row in rows
        ]
        return f"; the oldest that hold one: {', '.join(named)}" if named else ""


def _is_locked(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode == sqlite3.SQLITE_BUSY
    return refusals.sqlstate(error.orig) in _LOCKED


@contextmanager
def _alone(engine: Engine, waiting: _Waiting) -> Iterator[None]:
    """Keep other migrations out. A transaction holds the lock, since PgBouncer keeps no sessions; it reads nothing, so
    that no index that is built meanwhile waits for it."""
    if engine.dialect.name == "sqlite":  # every transaction has the file to itself
        yield
        return
    guard = engine.execution_options(**PATIENT).connect()
    try:
        waiting.until_free("the migration", partial(_lock_others_out, guard))
        yield
    finally:
        guard.close()


def _lock_others_out(guard: Connection) -> None:
    transaction = guard.begin()
    try:
        _name_and_limit(guard)
        # As plain text: a statement with parameters would keep its snapshot while the transaction is open.
        guard.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    except BaseException:
        transaction.rollback()
        raise


def _missing(engine: Engine) -> Script | None:
    """The next migration. Raises SchemaMismatch if the database is too new for this code."""
    scripts = _scripts()
    with engine.begin() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision is not None and not _knows(scripts, revision):
            _refuse_unless_suitable(connection, revision, str(scripts.get_current_head()))
            return None
    return next((script for script in reversed(_all(scripts)) if revision is None or script.revision > revision), None)


def _apply(engine: Engine, step: Script) -> None:
    """One migration, unless another process has just done it. A module that says `outside_transaction = True` does one
    thing, which PostgreSQL does not do in a transaction, and bears to be repeated."""
    config = _config()
    outside = engine.dialect.name == "postgresql" and getattr(step.module, "outside_transaction", False)
    options = {**PATIENT, **(BEGINS_NOTHING if outside else {})}
    with engine.execution_options(**options).begin() as connection:
        if engine.dialect.name == "postgresql" and not outside:
            _name_and_limit(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        if current is None or current < step.revision:
            config.attributes["connection"] = connection
            command.upgrade(config, step.revision)


def _name_and_limit(connection: Connection) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}"))
    connection.execute(text(f"SET LOCAL application_name = '{_OWN_NAME}'"))


def _refuse_unless_suitable(connection: Connection, revision: str, head: str) -> None:
    oldest = None
    if inspect(connection).has_table(schema_revisions.name):
        kept = select(schema_revisions.c.oldest_code).where(schema_revisions.c.revision == revision)
        oldest = connection.execute(kept).scalar_one_or_none()
    if oldest is None or head < oldest:
        raise SchemaMismatch(
            f"the ledger's schema is at {revision}, which this worker (schema {head}) does not know: "
            f"a newer release has migrated it, run that one{(oldest and f', or any from {oldest} on') or ''}"
        )
    LOG.info("the ledger's schema is at %s, newer than this worker's %s, and suits it", revision, head)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return _scripts_of(_MIGRATIONS)


@cache
def _scripts_of(folder: Path) -> ScriptDirectory:
    """Read once: Alembic compiles every migration to know which is the newest."""
    return ScriptDirectory(str(folder))


def _all(scripts: ScriptDirectory) -> list[Script]:
    """Newest first."""
    return list(scripts.walk_revisions())


def _knows(scripts: ScriptDirectory, revision: str) -> bool:
    return any(script.revision == revision for script in _all(scripts))
