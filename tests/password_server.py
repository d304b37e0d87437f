"""A PostgreSQL that lets the ledger's user in by its password alone, and the file from which workers read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from order_devstack import postgresql


class PasswordServer:
    """Its role `orders` begins with the password `first`."""

    def __init__(self, socket_folder: Path, mounted: Path) -> None:
        self._socket_folder = socket_folder
        self.mounted = mounted
        """The file with the URL, as a worker has it."""
        self._administer("CREATE ROLE orders LOGIN PASSWORD 'first'")
        self._administer("CREATE DATABASE orders OWNER orders TEMPLATE template0")
        self._password = "first"
        self.mount("first")

    def restore(self) -> None:
        """Mount the password that counts, where another one is."""
        if self._mounted_password != self._password:
            self.mount(self._password)

    def mount(self, password: str) -> None:
        """Write the URL with this password into the file."""
        self._mounted_password = password
        host = quote(str(self._socket_folder), safe="")
        self.mounted.write_text(f"postgresql://orders:{password}@/orders?host={host}\n")

    def change(self, password: str) -> None:
        """From now on new connections need this one."""
        self._password = password
        self._administer(f"ALTER ROLE orders PASSWORD '{password}'")

    def disconnect_all(self) -> None:
        """End the connections that are open."""
        self._administer("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orders'")

    def _administer(self, statement: str) -> None:
        with postgresql.connected(self._socket_folder) as administrator:
            administrator.execute(statement.encode())


@contextmanager
def password_server(mounted: Path) -> Iterator[PasswordServer]:
    """Started, and stopped in the end."""
    with postgresql.installation() as installed:
        data = installed.folder / "data"
        installed.initialise(data)
        (data / "pg_hba.conf").write_text("local all orders scram-sha-256\nlocal all all trust\n")
        process = installed.start(data, installed.folder)
        try:
            yield PasswordServer(installed.folder, mounted)
        finally:
            postgresql.stop(process)
