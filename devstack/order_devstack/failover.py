"""A PostgreSQL server that can be lost: a primary, a standby that has all of it, and one address for both."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from order_devstack.errors import StartFailed
from order_devstack.postgresql import (
    NOT_DURABLE,
    SUPERUSER,
    PostgreSQL,
    connected,
    folder_of_the_server,
    installation,
    stop,
)

_FOLLOW_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ReplicatedPostgreSQL(PostgreSQL):
    """A primary and its standby. `socket_folder` is the address that clients use, like a Service in Kubernetes that
    leads to whichever server is the primary. A failover goes through three states, in this order, and only once."""

    primary: "subprocess.Popen[bytes]"
    standby_folder: Path

    def crash(self) -> None:
        """The primary ends at once, without a word to its clients; what was not committed is lost. Nobody answers."""
        stop(self.primary, signal.SIGQUIT)

    def redirect(self) -> None:
        """The address leads to the standby, which answers questions and refuses to write (SQLSTATE 25006)."""
        _lead(self.socket_folder, self.standby_folder)

    def promote(self) -> None:
        """The standby becomes the primary; returns when it accepts writes."""
        with connected(self.standby_folder) as connection:
            connection.execute("SELECT pg_promote(true, 60)")
        _wait_for(self.standby_folder, "SELECT NOT pg_is_in_recovery()", "the standby was not promoted")

    def fail_over(self) -> None:
        """All three."""
        self.crash()
        self.redirect()
        self.promote()


@contextmanager
def replicated() -> Iterator[ReplicatedPostgreSQL]:
    """Start a primary and a standby; stop both and delete their data at the end.

    A commit returns once the standby has it and shows it, so that no failover loses one. Raises as `postgresql.running`
    does.
    """
    with (
        installation() as installed,
        folder_of_the_server("order-primary-") as primary_folder,
        folder_of_the_server("order-standby-") as standby_folder,
        ExitStack() as stack,
    ):
        primary_data, standby_data = installed.folder / "primary", installed.folder / "standby"
        installed.initialise(primary_data)
        primary = installed.start(primary_data, primary_folder, *NOT_DURABLE)
        stack.callback(stop, primary)
        source = (f"--host={primary_folder}", f"--username={SUPERUSER}")
        installed.run("pg_basebackup", *source, "--write-recovery-conf", "--no-sync", f"--pgdata={standby_data}")
        standby = installed.start(standby_data, standby_folder, *NOT_DURABLE)
        stack.callback(stop, standby)
        followed = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE {})"
        _wait_for(primary_folder, followed.format("state = 'streaming'"), "the standby did not follow")
        with connected(primary_folder) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_commit = remote_apply")
            # Only now: without a standby no commit would return.
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        _wait_for(primary_folder, followed.format("sync_state = 'sync'"), "no commit waited for the standby")
        address = installed.folder / "address"
        _lead(address, primary_folder)
        yield ReplicatedPostgreSQL(address, primary, standby_folder)


def _lead(address: Path, folder: Path) -> None:
    """In one step: a client that connects meanwhile finds the one or the other."""
    unfinished = address.with_suffix(".unfinished")
    unfinished.symlink_to(folder)
    unfinished.replace(address)


def _wait_for(socket_folder: Path, question: str, complaint: str) -> None:
    deadline = time.monotonic() + _FOLLOW_SECONDS
    with connected(socket_folder) as connection:
        while connection.execute(question.encode()).fetchone() != (True,):
            if time.monotonic() > deadline:
                raise StartFailed(f"{complaint} within {_FOLLOW_SECONDS:.0f} s.")
            time.sleep(_POLL_SECONDS)
