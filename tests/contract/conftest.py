"""Fixtures: a migrated ledger, providers that remember what they did, and a shop on both."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shop import Shop

from order_worker.bootstrap import Providers
from order_worker.ledger import schema
from order_worker.ledger.database import Ledger, connect


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite ledger to copy; migrating anew for each test would take longer than the tests."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    engine = connect(f"sqlite:///{path}")
    schema.migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite"])
def ledger_url(migrated_file: Path, tmp_path: Path) -> str:
    """An empty ledger of each kind of database."""
    shutil.copy(migrated_file, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(ledger_url)
    yield opened
    await opened.close()


@pytest.fixture
async def providers(tmp_path: Path) -> AsyncIterator[Providers]:
    simulated = await Providers.simulated(tmp_path / "providers.db")
    yield simulated
    await simulated.close()


@pytest.fixture
async def shop(ledger: Ledger, providers: Providers) -> Shop:
    opened = Shop(ledger, providers)
    await opened.stocked(PROD_001=10)
    return opened
