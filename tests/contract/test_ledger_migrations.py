"""Migrations beside workers that go on: they hold nobody up for long, and releases overlap."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ledger_databases import own_database
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from order_devstack.postgresql import PostgreSQL
from order_domain.errors import LedgerUnavailable
from order_worker.ledger import schema
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.ledger.schema import SchemaMismatch

HEAD = schema._scripts().get_current_head()
NEXT = "9001"
STEP = f"""
'''Of the next release.'''
from alembic import op
from order_worker.ledger.migrations.indexes import create_index
revision, down_revision = "{NEXT}", "{HEAD}"
{{declared}}
def upgrade():
    {{does}}
"""
ADD_A_COLUMN = 'op.execute("ALTER TABLE orders ADD COLUMN brand_new INTEGER")'
ADD_AN_INDEX = 'create_index("uq_new", "stock", ["on_hand"], unique=True, rows="on_hand > 5")'
BREAK_A_RULE = 'op.get_bind().exec_driver_sql("INSERT INTO stock (sku) VALUES (NULL)")'
OUTSIDE = "outside_transaction = True"

Release = Callable[..., None]


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """From now on this code is a release later, with one more migration."""

    def publish(does: str = ADD_A_COLUMN, declared: str = "") -> None:
        shutil.copytree(schema._MIGRATIONS, folder := tmp_path / "next")
        (folder / "versions" / f"{NEXT}_next.py").write_text(STEP.format(does=does, declared=declared))
        monkeypatch.setattr(schema, "_MIGRATIONS", folder)

    return publish


@pytest.fixture
def previous_again(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on this code is itself again, as after a rollback."""
    now = schema._MIGRATIONS
    return lambda: monkeypatch.setattr(schema, "_MIGRATIONS", now)


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    made = connect(ledger_url)
    yield made
    made.dispose()


@pytest.fixture
def postgresql_engine(postgresql: PostgreSQL, migrated_database: str) -> Iterator[Engine]:
    with own_database(postgresql, template=migrated_database) as url:
        made = connect(url)
        yield made
        made.dispose()


async def test_this_release_works_on_the_schema_of_the_next_one_that_allows_it(
    ledger_url: str, engine: Engine, next_release: Release, previous_again: Callable[[], None]
) -> None:
    next_release(declared=f'oldest_code = "{HEAD}"')
    assert schema.migrate(engine) == NEXT
    previous_again()
    ledger = await Ledger.open(ledger_url)
    await ledger.close()


def test_after_a_rollback_the_migration_of_this_release_leaves_the_newer_schema_alone(
    engine: Engine, next_release: Release, previous_again: Callable[[], None]
) -> None:
    next_release(declared=f'oldest_code = "{HEAD}"')
    schema.migrate(engine)
    previous_again()
    assert schema.migrate(engine) == NEXT


@pytest.mark.parametrize("declared", ["", 'oldest_code = "9000"'])
async def test_a_schema_that_does_not_allow_this_release_is_refused(
    ledger_url: str, engine: Engine, next_release: Release, previous_again: Callable[[], None], declared: str
) -> None:
    next_release(declared=declared)
    schema.migrate(engine)
    previous_again()
    with pytest.raises(SchemaMismatch, match="newer release has migrated it"):
        await Ledger.open(ledger_url)
    with pytest.raises(SchemaMismatch, match="newer release has migrated it"):
        schema.migrate(engine)


async def test_the_next_release_does_not_work_on_the_schema_of_this_one(ledger_url: str, next_release: Release) -> None:
    next_release()
    with pytest.raises(SchemaMismatch, match="run `order-worker migrate`"):
        await Ledger.open(ledger_url)


def test_every_migration_since_workers_can_read_it_says_which_code_it_suits() -> None:
    newer = [script for script in schema._all(schema._scripts()) if script.revision > "0004"]
    assert [script.revision for script in newer if not hasattr(script.module, "oldest_code")] == []


async def test_a_migration_beside_an_open_reader_holds_no_order_up_and_tells_who_it_waits_for(
    postgresql_engine: Engine, next_release: Release
) -> None:
    next_release()
    told: list[str] = []
    reader = postgresql_engine.connect()
    reader.execute(text("SET LOCAL application_name = 'pg_dump'"))
    reader.execute(text("SELECT count(*) FROM orders"))
    with ThreadPoolExecutor(1) as pool:
        migrating = pool.submit(schema.migrate, postgresql_engine, told.append)
        deadline = time.monotonic() + 60
        longest = 0.0
        while len([line for line in told if "waits for a lock" in line]) < 2:
            began = time.monotonic()
            assert began < deadline, told
            with postgresql_engine.begin() as worker:  # gives up after five seconds
                worker.execute(text("UPDATE orders SET message = message"))
            longest = max(longest, time.monotonic() - began)
        reader.close()
        assert migrating.result(60) == NEXT
    assert longest < 4.5
    waits = next(line for line in told if "waits for a lock" in line)
    assert f"migration {NEXT} waits for a lock; the oldest that hold one: process " in waits
    assert "(pg_dump, idle in transaction, in a transaction for " in waits


def test_a_migration_that_never_gets_its_lock_is_given_up_and_names_who_holds_it(
    postgresql_engine: Engine, next_release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "WAITING_SECONDS", 0.2)
    monkeypatch.setattr(schema, "LOCK_MILLISECONDS", 100)
    next_release()
    with postgresql_engine.connect() as reader:
        pid = reader.execute(text("SELECT pg_backend_pid() FROM (SELECT count(*) FROM orders) AS open")).scalar_one()
        with pytest.raises(LedgerUnavailable, match=rf"{NEXT} got no lock .* process {pid} \(order-worker, idle in"):
            schema.migrate(postgresql_engine)


def test_an_index_on_a_large_table_is_built_beside_an_open_writer(
    postgresql_engine: Engine, next_release: Release
) -> None:
    next_release(ADD_AN_INDEX, OUTSIDE)
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with postgresql_engine.begin() as writer:
            writer.execute(text("INSERT INTO stock VALUES ('A', 1, 0, 1, 0, 0)"))
            migrating = pool.submit(schema.migrate, postgresql_engine, told.append)
            wait_until_building(postgresql_engine)
            with postgresql_engine.begin() as other:
                other.execute(text("INSERT INTO stock VALUES ('B', 2, 0, 2, 0, 0)"))
        assert migrating.result(60) == NEXT
    assert index_is_valid(postgresql_engine)


def wait_until_building(engine: Engine) -> None:
    deadline = time.monotonic() + 30
    building = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE UNIQUE INDEX CONCURRENTLY%'")
    while True:
        with engine.connect() as watcher:
            if watcher.execute(building).scalar_one():
                return
        assert time.monotonic() < deadline, "no index is being built"


def index_is_valid(engine: Engine) -> bool:
    with engine.connect() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('uq_new')"
        return bool(connection.execute(text(valid)).scalar_one())


def test_an_index_that_was_left_half_built_is_built_again(postgresql_engine: Engine, next_release: Release) -> None:
    next_release(ADD_AN_INDEX, OUTSIDE)
    with postgresql_engine.begin() as writer:
        writer.execute(text("INSERT INTO stock VALUES ('A', 9, 0, 9, 0, 0), ('B', 9, 0, 9, 0, 0)"))
    with pytest.raises(IntegrityError):
        schema.migrate(postgresql_engine)
    assert not index_is_valid(postgresql_engine)
    with postgresql_engine.begin() as writer:
        writer.execute(text("DELETE FROM stock WHERE sku = 'B'"))
    assert schema.migrate(postgresql_engine) == NEXT
    assert index_is_valid(postgresql_engine)


def test_sqlite_makes_the_same_index(tmp_path: Path, migrated_file: Path, next_release: Release) -> None:
    next_release(ADD_AN_INDEX, OUTSIDE)
    shutil.copy(migrated_file, tmp_path / "ledger.db")
    engine = connect(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert schema.migrate(engine) == NEXT
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1 FROM sqlite_schema WHERE name = 'uq_new'")).one()
    engine.dispose()


def test_a_migration_that_fails_leaves_the_one_before_it(engine: Engine, next_release: Release) -> None:
    next_release(f"{ADD_A_COLUMN}; {BREAK_A_RULE}")
    with pytest.raises(IntegrityError):
        schema.migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == HEAD
        kept = connection.execute(text("SELECT revision FROM schema_revisions")).scalars().all()
    assert NEXT not in kept
