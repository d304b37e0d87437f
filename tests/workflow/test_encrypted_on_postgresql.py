"""Temporal on PostgreSQL, as in production: nothing of a person is in any row or file of its databases."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg.sql
import pytest
from builders import a_line, an_address, an_order_spec
from encryption_keys import ring_file
from storefront import Storefront, a_shop
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.service import TLSConfig

from order_codec.settings import data_converter
from order_devstack import environment, ports, postgresql, servers
from order_devstack.cluster.backing_servers import on_postgresql
from order_devstack.ports import HOST
from order_devstack.processes import DetachedProcess
from order_devstack.secured_temporal import PORTS, SERVER_NAME, Credentials, Demands, temporal
from order_domain.errors import Undeliverable
from order_domain.order import OrderSpec
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import Decision

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Person:
    """Somebody who orders, by a word that stands nowhere else."""

    word: str

    @property
    def told(self) -> set[str]:
        """All that is said of them."""
        return {self.name, self.street, self.mail, self.token, self.why}

    @property
    def name(self) -> str:
        return f"Ana {self.word}"

    @property
    def street(self) -> str:
        return f"77 {self.word} Street"

    @property
    def mail(self) -> str:
        return f"{self.word.lower()}@example.com"

    @property
    def token(self) -> str:
        return f"tok_{self.word.lower()}"

    @property
    def why(self) -> str:
        return f"because of the {self.word}s"


DATABASES = {"temporal-server": "temporal", "temporal-visibility": "visibility"}
"""With the schema of each."""


@dataclass(frozen=True)
class Server:
    """Temporal, and the PostgreSQL that it writes to."""

    address: str
    credentials: Credentials
    socket_folder: Path
    data: Path

    async def client(self, converter: DataConverter) -> Client:
        authority = (self.credentials.mounted / "ca.crt").read_bytes()
        tls = TLSConfig(server_root_ca_cert=authority, domain=SERVER_NAME)
        return await Client.connect(self.address, tls=tls, data_converter=converter, identity="test")

    def found(self, person: Person) -> set[str]:
        """What stands of them in a row, or in a file: of tables, of indexes, or the log of what was written."""
        files = [file.read_bytes() for file in self.data.rglob("*") if file.is_file()]
        rows = "\n".join(row for database in DATABASES for row in self._rows(database))
        return {
            text
            for text in person.told
            if text in rows or text.encode().hex() in rows or any(text.encode() in content for content in files)
        }

    def _rows(self, database: str) -> Iterator[str]:
        """As text, bytes in hexadecimal digits."""
        with psycopg.connect(host=str(self.socket_folder), user=postgresql.SUPERUSER, dbname=database) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                statement = psycopg.sql.SQL("SELECT t::text FROM {} t").format(psycopg.sql.Identifier(table))
                for (row,) in connection.execute(statement):
                    yield row


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("on-postgresql")
    programs = servers.obtain(["temporal", "temporal-server", "temporal-sql-tool"])
    known = ports.choose(("temporal", "postgresql", *PORTS), keep={})
    credentials = Credentials(folder / "credentials")
    with postgresql.installation() as installed, pytest.MonkeyPatch.context() as patched:
        patched.setenv("PGPORT", str(known["postgresql"]))  # PostgreSQL's own programs and library take it
        data = installed.folder / "data"
        installed.initialise(data)
        database = installed.start(data, installed.folder, f"listen_addresses={HOST}", "max_connections=200")
        try:
            with_schemas(programs["temporal-sql-tool"], postgresql.PostgreSQL(installed.folder), known["postgresql"])
            service = temporal(
                programs["temporal-server"],
                programs["temporal"],
                folder,
                known,
                environment.for_processes(folder),
                credentials,
                Demands(certificate=False, key=False),
                lambda name: {"sql": on_postgresql(name, f"{HOST}:{known['postgresql']}")},
            )
            process = DetachedProcess(folder, "temporal")
            service.prepare()
            process.spawn(service)
            try:
                process.wait_until_answering(service, service.start_seconds)
                yield Server(f"{HOST}:{known['temporal']}", credentials, installed.folder, data)
            finally:
                process.stop(within_seconds=5.0)
        finally:
            postgresql.stop(database)


def with_schemas(tool: Path, database: postgresql.PostgreSQL, port: int) -> None:
    """Temporal's tables, by its own tool."""
    for name, schema in DATABASES.items():
        database.create(name)
        reached = ["--plugin=postgres12", f"--endpoint={HOST}", f"--port={port}", f"--user={postgresql.SUPERUSER}"]
        command = [str(tool), *reached, "--password=", f"--database={name}"]
        for step in (["setup-schema", "--version=0.0"], ["update-schema", f"--schema-name=postgresql/v12/{schema}"]):
            subprocess.run([*command, *step], check=True, capture_output=True)


@pytest.fixture
async def private(server: Server, tmp_path: Path) -> AsyncIterator[Storefront]:
    variables = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "first")), "ORDER_ENCRYPTION_WRITE": "true"}
    async with a_shop(await server.client(data_converter(variables, leave_refused=True))) as shop:
        yield shop


def an_order_of(person: Person, unit_price_minor: int) -> OrderSpec:
    return an_order_spec(
        lines=[a_line(unit_price_minor=unit_price_minor)],
        customer={"id": "CUST-1", "email": person.mail},
        shipping_address=an_address(name=person.name, line1=person.street),
        payment={"method": person.token},
    )


async def carry_orders(shop: Storefront, person: Person) -> None:
    """One that is decided with a reason, and one that fails with words about the address."""
    decided = await shop.place(an_order_of(person, 150_000))
    await decided.reaches(OrderStatus.AWAIT_APPROVAL)
    await decided.update(contract.UPDATE_APPROVE, Decision(by="maria", reason=person.why))
    assert (await decided.result()).status == "Order Completed"
    shop.world.fail("ship_line", Undeliverable(f"nobody lives at {person.street}"))
    failed = await shop.place(an_order_of(person, 1_000))
    await failed.ends_or_waits()


async def test_encrypted_orders_leave_nothing_of_a_person_in_postgresql(private: Storefront, server: Server) -> None:
    person = Person("Thimble")

    await carry_orders(private, person)

    assert server.found(person) == set()


async def test_orders_in_the_clear_are_found_there(server: Server) -> None:
    """Or the test above would prove nothing."""
    person = Person("Garlick")
    async with a_shop(await server.client(pydantic_data_converter)) as shop:
        await carry_orders(shop, person)

    assert server.found(person) == person.told
