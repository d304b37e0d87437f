"""F79: the password of the ledger's database is changed while a worker runs."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text

from order_devstack import postgresql
from order_domain.errors import LedgerUnavailable, ProviderUnavailable
from order_process.settings import SettingsError
from order_worker.ledger import schema
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.providers.postgresql_store import PostgreSQLProviderStore
from order_worker.settings import Settings


class Server:
    """A PostgreSQL that lets the role `orders` in by its password alone."""

    def __init__(self, socket_folder: Path, mounted: Path) -> None:
        self._socket_folder = socket_folder
        self.mounted = mounted
        """The file with the URL, as a worker has it."""
        with postgresql.connected(socket_folder) as administrator:
            administrator.execute(b"CREATE ROLE orders LOGIN PASSWORD 'first'")
            administrator.execute(b"CREATE DATABASE orders OWNER orders TEMPLATE template0")
        self.mount("first")

    def mount(self, password: str) -> None:
        host = quote(str(self._socket_folder), safe="")
        self.mounted.write_text(f"postgresql://orders:{password}@/orders?host={host}\n")

    def change(self, password: str) -> None:
        with postgresql.connected(self._socket_folder) as administrator:
            administrator.execute(f"ALTER ROLE orders PASSWORD '{password}'".encode())

    def disconnect_all(self) -> None:
        with postgresql.connected(self._socket_folder) as administrator:
            administrator.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orders'")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with postgresql.installation() as installed:
        data = installed.folder / "data"
        installed.initialise(data)
        rules = data / "pg_hba.conf"
        rules.write_text("local all orders scram-sha-256\nlocal all all trust\n")
        process: subprocess.Popen[bytes] = installed.start(data, installed.folder)
        try:
            yield Server(installed.folder, tmp_path_factory.mktemp("ledger") / "url")
        finally:
            postgresql.stop(process)


@pytest.fixture
def server(postgres: Server) -> Server:
    postgres.change("first")
    postgres.mount("first")
    return postgres


@pytest.fixture
def settings(server: Server) -> Settings:
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


async def test_open_connections_outlive_the_password(server: Server, ledger: Ledger) -> None:
    await ledger.ping()

    server.change("second")

    await ledger.ping()


async def test_a_password_that_is_refused_first_counts_once_its_file_has_the_next_one(
    server: Server, ledger: Ledger
) -> None:
    await answers(ledger)
    server.change("second")
    server.disconnect_all()
    with pytest.raises(LedgerUnavailable):
        await ledger.ping()

    server.mount("second")

    await answers(ledger)
    await ledger.ping()


async def test_a_file_that_is_being_written_badly_leaves_the_former_url(server: Server, ledger: Ledger) -> None:
    await answers(ledger)
    server.mounted.write_text("")
    server.disconnect_all()

    await answers(ledger)


async def test_the_books_of_the_simulated_providers_take_the_password_over_as_well(
    server: Server, settings: Settings
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


def test_a_url_and_a_file_of_it_are_refused_together(tmp_path: Path) -> None:
    given = {"ORDER_LEDGER_URL": "sqlite:///here.db", "ORDER_LEDGER_URL_FILE": str(tmp_path / "url")}

    with pytest.raises(SettingsError, match="are both set: keep one of them"):
        Settings.from_environment(given)
