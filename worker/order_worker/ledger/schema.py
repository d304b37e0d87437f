"""Bringing the database to the schema of this code, and refusing to work on any other."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import OperationalError

from order_domain.errors import LedgerUnavailable

_MIGRATION_LOCK = int.from_bytes(b"order")
"""PostgreSQL's advisory locks are known by a number that all programs of a database agree on."""


class SchemaMismatch(Exception):
    """The database's schema is not the one that this code was written for."""


def _scripts() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine) -> str:
    """Apply all missing migrations in one transaction and return the revision reached. Raises SchemaMismatch if the
    database is newer than this code, LedgerUnavailable if it does not answer. Of two at once, one waits and finds
    nothing left to do."""
    config = _scripts()
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # on SQLite every transaction has the file to itself
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            _refuse_newer(connection, ScriptDirectory.from_config(config))
            command.upgrade(config, "head")
            return str(MigrationContext.configure(connection).get_current_revision())
    except OperationalError as error:
        raise LedgerUnavailable("the ledger cannot be migrated now") from error


def check(connection: Connection) -> None:
    """Raises SchemaMismatch, with what to do, unless the database is at this code's schema."""
    scripts = ScriptDirectory.from_config(_scripts())
    _refuse_newer(connection, scripts)
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision != scripts.get_current_head():
        raise SchemaMismatch(
            f"the ledger's schema is at {revision or 'nothing'}, this worker needs {scripts.get_current_head()}: "
            "run `order-worker migrate`"
        )


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        return
    try:
        scripts.get_revision(revision)
    except CommandError as unknown:
        raise SchemaMismatch(
            f"the ledger's schema is at {revision}, which this worker does not know: "
            "a newer release has migrated it, run that one"
        ) from unknown
