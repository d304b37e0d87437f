"""PgBouncer in front of a PostgreSQL server, as teams run it: in transaction mode, with fewer connections than clients.

Two transactions of one client may run on two connections of the server. What lives in a session does not survive:
prepared statements, SET without LOCAL, advisory locks of a session, LISTEN.
"""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from order_devstack.errors import DevstackError
from order_devstack.postgresql import (
    SUPERUSER,
    PostgreSQL,
    as_server,
    folder_of_the_server,
    stop,
    url,
    wait_until_answering,
)

_DEBIAN = Path("/usr/sbin/pgbouncer")
"""Not on the PATH of a user."""
_PORT = 5432
"""Only a part of the socket's name; PostgreSQL's clients look for this one."""
_SETTINGS = """\
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
default_pool_size = {size}
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {users}
admin_users = {superuser}
server_login_retry = 1
"""


@dataclass(frozen=True)
class PgBouncer:
    """A running pooler."""

    socket_folder: Path

    def url(self, database: str) -> str:
        """For SQLAlchemy: a database of the server, through the pooler."""
        return url(self.socket_folder, database)


@contextmanager
def pooled(server: PostgreSQL, *, size: int = 2) -> Iterator[PgBouncer]:
    """Start a pooler with at most `size` connections for each database; stop it at the end, even if this process is
    killed (then only its folder stays).

    It listens like `server` on a socket, on no port. With the defaults of PgBouncer otherwise: a client that sends a
    start-up parameter it does not know, such as `options`, is refused. Before a database of the server is dropped, its
    clients have to be gone. Raises DevstackError if PgBouncer is not installed, StartFailed if it does not start.
    """
    program = _program()
    with folder_of_the_server("order-pgbouncer-") as folder:
        users, settings, log = (folder / name for name in ("users.txt", "pgbouncer.ini", "log"))
        users.write_text(f'"{SUPERUSER}" ""\n')
        settings.write_text(
            _SETTINGS.format(
                server=server.socket_folder, size=size, port=_PORT, folder=folder, users=users, superuser=SUPERUSER
            )
        )
        # SIGINT would wait for clients.
        command = [*as_server(death_signal="TERM"), program, str(settings)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, cwd=folder)
        try:
            wait_until_answering("PgBouncer", process, log, lambda: _answers(folder))
            yield PgBouncer(folder)
        finally:
            stop(process, signal.SIGTERM)


def _program() -> str:
    found = shutil.which("pgbouncer") or (str(_DEBIAN) if _DEBIAN.exists() else None)
    if found is None:
        raise DevstackError(
            "PgBouncer is needed to test the ledger behind it and was not found: apt-get install pgbouncer"
        )
    return found


def _answers(folder: Path) -> bool:
    try:
        with psycopg.connect(host=str(folder), user=SUPERUSER, dbname="pgbouncer", autocommit=True) as console:
            # Its console speaks the simple protocol alone.
            return bool(psycopg.ClientCursor(console).execute("SHOW VERSION").fetchone())
    except psycopg.OperationalError:
        return False
