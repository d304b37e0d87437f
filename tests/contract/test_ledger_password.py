"""F79: the password of the ledger's database is changed while a worker runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from password_server import PasswordServer, password_server
from sqlalchemy import text

from order_domain.errors import LedgerUnavailable, ProviderUnavailable
from order_process.settings import SettingsError
from order_worker.ledger import schema
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.providers.postgresql_store import PostgreSQLProviderStore
from order_worker.settings import IN_THE_FILE, Settings


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PasswordServer]:
    with password_server(tmp_path_factory.mktemp("ledger") / "url") as started:
        yield started


@pytest.fixture
def server(postgres: PasswordServer) -> PasswordServer:
    postgres.change("first")
    postgres.mount("first")
    return postgres


@pytest.fixture
def settings(server: PasswordServer) -> Settings:
    return Settings.from_environment({"ORDER_LEDGER_URL_FILE": str(server.mounted)})


@pytest.fixture
async def ledger(settings: Settings) -> AsyncIterator[Ledger]:
    engine = connect(settings.ledger_url)
    schema.migrate(engine, lambda _: None)
    engine.dispose()
    opened = await Ledger.open(settings.ledger_url, url_now=settings.ledger_url_now)
    yield opened
    await opened.close()


async def answers(ledger: Ledger) -> None:
    """Wait until a transaction goes through."""
    async with asyncio.timeout(30):
        while True:
            try:
                await ledger.transaction(lambda tx: tx.execute(text("SELECT 1")).scalar())
            except LedgerUnavailable:
                await asyncio.sleep(0.1)
            else:
                return


async def test_open_connections_outlive_the_password(server: PasswordServer, ledger: Ledger) -> None:
    await ledger.ping()

    server.change("second")

    await ledger.ping()


async def test_a_password_that_is_refused_first_counts_once_its_file_has_the_next_one(
    server: PasswordServer, ledger: Ledger
) -> None:
    await answers(ledger)
    server.change("second")
    server.disconnect_all()
    with pytest.raises(LedgerUnavailable):
        await ledger.ping()

    server.mount("second")

    await answers(ledger)
    await ledger.ping()


async def test_a_file_that_is_being_written_badly_leaves_the_former_url(server: PasswordServer, ledger: Ledger) -> None:
    await answers(ledger)
    server.mounted.write_text("")
    server.disconnect_all()

    await answers(ledger)


async def test_the_books_of_the_simulated_providers_take_the_password_over_as_well(
    server: PasswordServer, settings: Settings
) -> None:
    store = await PostgreSQLProviderStore.open_url(settings.ledger_url, settings.ledger_url_now)
    server.change("second")
    server.disconnect_all()
    with pytest.raises(ProviderUnavailable):
        await store.transaction(lambda tx: tx.execute("SELECT 1 AS one").fetchone())
    server.mount("second")

    assert await store.transaction(lambda tx: tx.execute("SELECT 1 AS one").fetchone()) == {"one": 1}
    await store.close()


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "cannot be read"), ("", "is empty"), ("hello", "write sqlite")]
)
def test_a_file_without_a_url_is_refused_by_its_variable(tmp_path: Path, content: str | None, sentence: str) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingsError, match=sentence) as refused:
        Settings.from_environment({"ORDER_LEDGER_URL_FILE": str(file)})
    assert "ORDER_LEDGER_URL" in str(refused.value)


def test_the_file_counts_beside_the_word_that_the_chart_sets_for_earlier_releases(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://orders@db/orders")

    settings = Settings.from_environment({"ORDER_LEDGER_URL": IN_THE_FILE, "ORDER_LEDGER_URL_FILE": str(file)})

    assert settings.ledger_url == "postgresql://orders@db/orders"


def test_a_worker_that_does_not_know_the_file_refuses_to_start_without_its_ledger() -> None:
    """As one of an earlier release does, which began another ledger in a file of its own."""
    with pytest.raises(SettingsError, match="ORDER_LEDGER_URL: write sqlite"):
        Settings.from_environment({"ORDER_LEDGER_URL": IN_THE_FILE})


def test_a_url_and_a_file_of_it_are_refused_together(tmp_path: Path) -> None:
    given = {"ORDER_LEDGER_URL": "sqlite:///here.db", "ORDER_LEDGER_URL_FILE": str(tmp_path / "url")}

    with pytest.raises(SettingsError, match="are both set: keep one of them"):
        Settings.from_environment(given)
