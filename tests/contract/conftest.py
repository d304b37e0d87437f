"""Fixtures: a migrated ledger, providers that remember what they did, a shop on both, and a Stripe account."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from charts import Render, rendering
from fake_stripe import KEY, FakeStripe, serving
from ledger_databases import migrate, own_database
from shop import Shop

from order_devstack import servers
from order_devstack.postgresql import PostgreSQL, running
from order_worker.bootstrap import Providers
from order_worker.ledger.database import Ledger
from order_worker.providers.payment.stripe.payments import StripePayments
from order_worker.settings import Settings


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests; each gets a database of its own."""
    with running(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite ledger to copy; migrating anew for each test would take longer than the tests."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_database(postgresql: PostgreSQL) -> str:
    """The same on PostgreSQL."""
    postgresql.create("migrated")
    migrate(postgresql.url("migrated"))
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty ledger of each kind of database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "ledger.db")
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        template = request.getfixturevalue("migrated_database")
        with own_database(request.getfixturevalue("postgresql"), template=template) as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bare.db'}"
    else:
        with own_database(request.getfixturevalue("postgresql"), template="template0") as url:
            yield url


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(ledger_url)
    yield opened
    await opened.close()


@pytest.fixture
async def providers(tmp_path: Path) -> AsyncIterator[Providers]:
    simulated = await Providers.open(Settings(provider_store=tmp_path / "providers.db"), {})
    yield simulated
    await simulated.close()


@pytest.fixture
async def shop(ledger: Ledger, providers: Providers) -> Shop:
    opened = Shop(ledger, providers)
    await opened.stocked(PROD_001=10)
    return opened


@pytest.fixture
def stripe() -> FakeStripe:
    """An account. Its search finds nothing before the next day: every test that does not wait for it relies on the keys
    alone."""
    fake = FakeStripe()
    fake.search_lags = True
    return fake


@pytest.fixture
async def stripe_address(stripe: FakeStripe) -> AsyncIterator[str]:
    async with serving(stripe) as url:
        yield url


@pytest.fixture
async def payments(stripe_address: str) -> AsyncIterator[StripePayments]:
    """Those of the account `stripe`; the simulated ones are `providers.payments`."""
    opened = StripePayments.from_environment({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": stripe_address})
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def helm() -> Path:
    """The pinned one; TEST_HELM names another, such as a Helm 3."""
    other = os.environ.get("TEST_HELM")
    return Path(other) if other else servers.obtain(["helm"])["helm"]


@pytest.fixture
def render(helm: Path) -> Render:
    return rendering(helm)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Part of Debian's package `prometheus`."""
    found = shutil.which("promtool")
    if found is None:
        pytest.fail("promtool was not found: apt-get install prometheus")
    return Path(found)
