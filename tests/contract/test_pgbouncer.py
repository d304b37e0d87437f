"""The pooler that the ledger's tests run behind."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from order_devstack import pgbouncer as pooler_module
from order_devstack.errors import DevstackError
from order_devstack.pgbouncer import PgBouncer, pooled
from order_devstack.postgresql import PostgreSQL

pytestmark = pytest.mark.long

STARTER = """
from order_devstack.pgbouncer import pooled
from order_devstack.postgresql import running
with running(durable=False) as server, pooled(server) as pooler:
    print(server.socket_folder, pooler.socket_folder, flush=True)
    input()
"""


@pytest.fixture
def pooler(postgresql: PostgreSQL) -> Iterator[PgBouncer]:
    postgresql.create("pooled")
    try:
        with pooled(postgresql, size=1) as pooler:
            yield pooler
    finally:
        postgresql.drop("pooled")


def connect(pooler: PgBouncer) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(pooler.url("pooled"), prepare_threshold=None)


def test_two_clients_share_one_connection_of_the_server_between_transactions(pooler: PgBouncer) -> None:
    with connect(pooler) as one, connect(pooler) as other:
        first = one.execute("SELECT pg_backend_pid()").fetchone()
        one.commit()
        assert other.execute("SELECT pg_backend_pid()").fetchone() == first


def test_a_setting_of_a_session_reaches_another_client(pooler: PgBouncer) -> None:
    """That is what transaction mode costs, and what a client has to bear."""
    with connect(pooler) as one, connect(pooler) as other:
        one.execute("SET lock_timeout = 4711")
        one.commit()
        assert other.execute("SHOW lock_timeout").fetchone() == ("4711ms",)


def test_a_start_up_parameter_that_the_pooler_does_not_know_is_refused(pooler: PgBouncer) -> None:
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        psycopg.connect(pooler.url("pooled"), options="-c lock_timeout=1s")


def test_a_stopped_pooler_leaves_nothing_behind(postgresql: PostgreSQL) -> None:
    with pooled(postgresql) as pooler:
        folder = pooler.socket_folder
    assert not folder.exists()


def test_the_pooler_ends_with_the_process_that_started_it() -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    folders = [Path(folder) for folder in starter.stdout.readline().split()]
    starter.kill()
    starter.communicate()
    deadline = time.monotonic() + 20
    while any(answers(folder) for folder in folders):
        assert time.monotonic() < deadline, "the pooler outlives its starter"
        time.sleep(0.05)
    for folder in folders:
        shutil.rmtree(folder)


def answers(folder: Path) -> bool:
    try:
        psycopg.connect(host=str(folder), user="order", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_missing_pooler_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql: PostgreSQL
) -> None:
    monkeypatch.setattr(pooler_module, "_DEBIAN", tmp_path / "pgbouncer")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevstackError, match=r"apt-get install pgbouncer$"), pooled(postgresql):
        pass
