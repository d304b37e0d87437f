"""A private PostgreSQL server for tests and benchmarks, from the machine's own binaries."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from order_devstack.errors import DevstackError, StartFailed

_FOLDER = "order-database-"
"""Begins the names of folders; the pid of the process that uses it follows."""
_DEBIAN = Path("/usr/lib/postgresql")
SUPERUSER = "order"
NOT_DURABLE = ("fsync=off", "full_page_writes=off")
"""What is committed survives the end of the server, but not that of the machine."""
_FAST = (*NOT_DURABLE, "synchronous_commit=off")
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
        return url(self.socket_folder, database)

    def create(self, database: str, *, template: str = "template0", icu_locale: str | None = None) -> None:
        """A new database, a copy of `template`, to which nobody may be connected.

        Text is compared as in the template, by default byte by byte; with `icu_locale`, such as "en-US", by the rules
        of that language, where "a" < "B" < "c". Only PostgreSQL 15 and newer can do that.
        """
        collation = f" LOCALE_PROVIDER icu ICU_LOCALE '{icu_locale}'" if icu_locale else ""
        self._execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"{collation}')

    def drop(self, database: str) -> None:
        """Ends its connections first."""
        self._execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with connected(self.socket_folder) as connection:
            connection.execute(statement.encode())


@dataclass(frozen=True)
class Installation:
    """The machine's own programs, and one folder for the data of a few servers."""

    programs: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the programs to its end. Raises StartFailed with what it printed."""
        done = subprocess.run(
            [*as_server(), str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        if done.returncode != 0:
            raise StartFailed(f"{program} failed:\n{done.stdout}{done.stderr}")

    def initialise(self, data: Path) -> None:
        """A new data folder, whose databases compare text byte by byte."""
        settings = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={SUPERUSER}")
        self.run("initdb", *settings, f"--pgdata={data}")

    def start(self, data: Path, socket_folder: Path, *settings: str) -> "subprocess.Popen[bytes]":
        """Start a server on a data folder; returns when it answers. Raises StartFailed with its log if it does not."""
        values = ["listen_addresses=", f"unix_socket_directories={socket_folder}", *settings]
        options = [option for value in values for option in ("-c", value)]
        command = [*as_server(), str(self.programs / "postgres"), "-D", str(data), *options]
        log = self.folder / f"{data.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, cwd=self.folder)
        question = [str(self.programs / "pg_isready"), "--quiet", f"--host={socket_folder}"]
        try:
            wait_until_answering(
                "PostgreSQL", process, log, lambda: subprocess.run(question, check=False).returncode == 0
            )
        except BaseException:
            stop(process)
            raise
        return process


@contextmanager
def running(*, durable: bool = True) -> Iterator[PostgreSQL]:
    """Start a server with an empty data folder; stop it and delete its data at the end, even if this process is killed
    (then only the data stays).

    It listens on a socket that nobody but its user and root can reach, on no port. Not `durable`: it does not wait for
    the disk, which makes tests faster. Raises DevstackError if PostgreSQL is not installed, StartFailed if it does not
    start.
    """
    with installation() as installed:
        data = installed.folder / "data"
        installed.initialise(data)
        process = installed.start(data, installed.folder, *(() if durable else _FAST))
        try:
            yield PostgreSQL(installed.folder)
        finally:
            stop(process)


@contextmanager
def installation() -> Iterator[Installation]:
    """The programs with a folder that is deleted at the end. Raises DevstackError if PostgreSQL is not installed."""
    programs = find_programs()
    with folder_of_the_server() as folder:
        yield Installation(programs, folder)


@contextmanager
def folder_of_the_server() -> Iterator[Path]:
    """A folder that the servers' user can enter, which is not so of a caller's; deleted at the end."""
    delete_abandoned_folders()
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    try:
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def delete_abandoned_folders() -> None:
    """Delete the folders of processes that were killed; their servers have ended with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        owner = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def url(socket_folder: Path, database: str) -> str:
    """For SQLAlchemy."""
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(socket_folder), safe='')}"


def connected(socket_folder: Path) -> "psycopg.Connection[tuple[object, ...]]":
    """An administrator's connection, without transactions."""
    return psycopg.connect(host=str(socket_folder), user=SUPERUSER, dbname="postgres", autocommit=True)


def find_programs() -> Path:
    """Where initdb and postgres are: of Debian's newest version, else on PATH."""
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0))
    found = str(versions[-1]) if versions else shutil.which("initdb")
    if found is None:
        raise DevstackError("PostgreSQL is needed to test the ledger and was not found: apt-get install postgresql")
    return Path(found).resolve().parent


def as_server(death_signal: str | None = "INT") -> list[str]:
    """The beginning of a command that runs as the server's user and gets `death_signal` when the thread ends that
    starts it. PostgreSQL and PgBouncer refuse to run as root."""
    user = _unprivileged() if os.geteuid() == 0 else None
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    death = [f"--pdeathsig={death_signal}"] if death_signal else []
    return ["setpriv", *identity, *death]


def server_user() -> str:
    """Name of the user that servers run as; a caller other than root stays who it is."""
    return _unprivileged().pw_name if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def wait_until_answering(name: str, process: "subprocess.Popen[bytes]", log: Path, answers: Callable[[], bool]) -> None:
    """Raises StartFailed with the log if the process ends or does not answer in time."""
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartFailed(f"{name} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(_POLL_SECONDS)


def stop(process: "subprocess.Popen[bytes]", number: int = signal.SIGINT) -> None:
    """Stop a server, by default by its "fast shutdown", which does not wait for clients. It may have ended already."""
    process.send_signal(number)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
