"""A worker works on its own schema only."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from order_worker.ledger import schema
from order_worker.ledger.database import Ledger, connect
from order_worker.ledger.schema import SchemaMismatch
from order_worker.ledger.tables import metadata


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database without any table."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = connect(url)
    yield made
    made.dispose()


async def test_an_unmigrated_database_is_refused_with_the_command_that_helps(url: str) -> None:
    with pytest.raises(SchemaMismatch, match="run `order-worker migrate`"):
        await Ledger.open(url)


async def test_a_database_of_a_newer_release_is_refused(url: str, engine: Engine) -> None:
    schema.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="newer release"):
        await Ledger.open(url)


def test_a_database_of_a_newer_release_is_not_migrated(engine: Engine) -> None:
    schema.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="newer release"):
        schema.migrate(engine)


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    assert schema.migrate(engine) == schema.migrate(engine)


def test_two_workers_may_migrate_at_once(url: str) -> None:
    def migrate() -> str:
        engine = connect(url)
        try:
            return schema.migrate(engine)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(migrate), pool.submit(migrate)
        assert first.result() == second.result()


def test_the_migrations_make_the_tables_that_the_code_uses(engine: Engine) -> None:
    schema.migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
