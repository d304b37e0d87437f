"""A private PostgreSQL server for tests and benchmarks, from the machine's own binaries."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from order_devstack.errors import DevstackError, StartFailed

_DEBIAN = Path("/usr/lib/postgresql")
_SUPERUSER = "order"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_START_SECONDS = 60.0
"""It needs one second; the rest is for a busy machine."""
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class PostgreSQL:
    """A running server."""

    socket_folder: Path

    def url(self, database: str) -> str:
        """For SQLAlchemy."""
        return f"postgresql://{_SUPERUSER}@/{database}?host={quote(str(self.socket_folder), safe='')}"

    def create(self, database: str, *, template: str = "template0") -> None:
        """A new database, a copy of `template`, to which nobody may be connected."""
        self._execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')

    def drop(self, database: str) -> None:
        """Ends its connections first."""
        self._execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self.socket_folder), user=_SUPERUSER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())


@contextmanager
def running(*, durable: bool = True) -> Iterator[PostgreSQL]:
    """Start a server with an empty data folder; stop it and delete its data at the end, even if this process is killed
    (then only the data stays).

    It listens on a socket that nobody but its user and root can reach, on no port. Not `durable`: it does not wait for
    the disk, which makes tests faster. Raises DevstackError if PostgreSQL is not installed, StartFailed if it does not
    start.
    """
    programs = _programs()
    # Not in a folder of the caller's: the server's user could not enter it.
    folder = Path(tempfile.mkdtemp(prefix="order-postgresql-"))
    data, log = folder / "data", folder / "log"
    try:
        as_server = _as_server(folder)
        initdb = [str(programs / "initdb"), "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        _run([*as_server, *initdb, f"--username={_SUPERUSER}", f"--pgdata={data}"])
        settings = ["listen_addresses=", f"unix_socket_directories={folder}", *(() if durable else _FAST)]
        options = [option for setting in settings for option in ("-c", setting)]
        command = [*as_server, str(programs / "postgres"), "-D", str(data), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, cwd=folder)
        try:
            _wait_until_answering(process, programs, folder, log)
            yield PostgreSQL(folder)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """Where initdb and postgres are: of Debian's newest version, else on PATH."""
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0))
    found = str(versions[-1]) if versions else shutil.which("initdb")
    if found is None:
        raise DevstackError("PostgreSQL is needed to test the ledger and was not found: apt-get install postgresql")
    return Path(found).resolve().parent


def _as_server(folder: Path) -> list[str]:
    """The beginning of a command that runs as the server's user and ends with this process. PostgreSQL refuses to run
    as root."""
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig=INT"]
    user = _unprivileged()
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--pdeathsig=INT",
    ]


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        raise StartFailed(f"initdb failed:\n{done.stdout}{done.stderr}")


def _wait_until_answering(process: subprocess.Popen[bytes], programs: Path, folder: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    question = [str(programs / "pg_isready"), "--quiet", f"--host={folder}"]
    while subprocess.run(question, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartFailed(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
        time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # its "fast shutdown": without waiting for clients
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
