"""The private PostgreSQL server that the ledger's tests run on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from order_devstack import postgresql as server_module
from order_devstack.errors import DevstackError
from order_devstack.postgresql import PostgreSQL, running
from order_worker.settings import Settings

STARTER = """
from order_devstack.postgresql import running
with running(durable=False) as server:
    print(server.socket_folder, flush=True)
    input()
"""


def test_a_missing_server_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevstackError, match=r"apt-get install postgresql$"), running():
        pass


def test_the_worker_accepts_the_servers_address(postgresql: PostgreSQL) -> None:
    url = postgresql.url("ledger")
    assert Settings.from_environment({"ORDER_LEDGER_URL": url}).ledger_url == url


def test_the_server_listens_on_no_port(postgresql: PostgreSQL) -> None:
    with psycopg.connect(host=str(postgresql.socket_folder), user="order", dbname="postgres") as connection:
        [addresses] = connection.execute("SHOW listen_addresses").fetchone() or [None]
    assert addresses == ""


def test_nobody_else_can_reach_the_servers_socket(postgresql: PostgreSQL) -> None:
    assert postgresql.socket_folder.stat().st_mode & 0o077 == 0


def test_a_stopped_server_leaves_nothing_behind() -> None:
    with running(durable=False) as server:
        folder = server.socket_folder
    assert not folder.exists()


def test_the_folder_of_a_process_that_is_gone_is_deleted_and_that_of_another_is_not() -> None:
    gone, here = (Path(tempfile.mkdtemp(prefix=f"order-database-{pid}-")) for pid in (2**22 + 1, os.getpid()))

    server_module.delete_abandoned_folders()

    assert (gone.exists(), here.exists()) == (False, True)
    here.rmdir()


def test_the_server_ends_with_the_process_that_started_it() -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    folder = Path(starter.stdout.readline().strip())
    pid = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    starter.kill()
    starter.communicate()
    deadline = time.monotonic() + 20
    while (folder / "data" / "postmaster.pid").exists():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGQUIT)
            pytest.fail("the server outlives its starter")
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)  # another process may be at it
