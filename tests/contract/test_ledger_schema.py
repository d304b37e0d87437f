"""A worker works on its own schema only."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from order_devstack.postgresql import PostgreSQL
from order_domain.errors import LedgerUnavailable
from order_worker.ledger import schema
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.ledger.schema import SchemaMismatch
from order_worker.ledger.tables import metadata


@pytest.fixture
def engine(bare_url: str) -> Iterator[Engine]:
    made = connect(bare_url)
    yield made
    made.dispose()


async def test_an_unmigrated_database_is_refused_with_the_command_that_helps(bare_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="run `order-worker migrate`"):
        await Ledger.open(bare_url)


async def test_a_database_of_a_newer_release_is_refused(bare_url: str, engine: Engine) -> None:
    schema.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="newer release"):
        await Ledger.open(bare_url)


def test_a_database_of_a_newer_release_is_not_migrated(engine: Engine) -> None:
    schema.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="newer release"):
        schema.migrate(engine)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/ledger.db", "postgresql://order@/ledger?host=/nowhere"])
def test_a_database_that_does_not_answer_cannot_be_migrated_now(url: str) -> None:
    with pytest.raises(LedgerUnavailable):
        schema.migrate(connect(url))


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    assert schema.migrate(engine) == schema.migrate(engine)


def test_two_workers_may_migrate_at_once(bare_url: str) -> None:
    command = [sys.executable, "-m", "order_worker", "migrate"]
    environment = {**os.environ, "ORDER_LEDGER_URL": bare_url}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [(process.communicate(timeout=60)[0], process.returncode) for process in both]
    assert answers == [("the ledger's schema is at 0012\n", 0)] * 2


def test_a_migration_waits_for_another_one(postgresql: PostgreSQL) -> None:
    postgresql.create("waiting")
    engine = connect(postgresql.url("waiting"))
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as pool, engine.connect() as watcher:
        with engine.begin() as other:
            other.execute(text(f"SELECT pg_advisory_xact_lock({int.from_bytes(b'order')})"))
            migrating = pool.submit(schema.migrate, engine)
            deadline = time.monotonic() + 10
            while watcher.execute(waiting).scalar_one() == 0:
                assert time.monotonic() < deadline, "the second migration does not wait"
                time.sleep(0.02)
        assert migrating.result() == "0012"
    engine.dispose()
    postgresql.drop("waiting")


def test_the_migrations_make_the_tables_that_the_code_uses(engine: Engine) -> None:
    schema.migrate(engine)
    with engine.connect() as connection:
        ours = {"include_name": lambda name, *_: name != schema.schema_revisions.name}
        context = MigrationContext.configure(connection, opts={"compare_type": True, **ours})
        assert compare_metadata(context, metadata) == []
