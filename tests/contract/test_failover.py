"""The server that the ledger's tests lose in the middle of a transaction."""

from collections.abc import Iterator

import psycopg
import pytest

from order_devstack.failover import ReplicatedPostgreSQL, replicated
from order_devstack.pgbouncer import pooled

pytestmark = pytest.mark.long


@pytest.fixture
def server() -> Iterator[ReplicatedPostgreSQL]:
    with replicated() as server:
        server.create("kept")
        with connect(server) as connection:
            connection.execute("CREATE TABLE entries (text text)")
        yield server


def connect(server: ReplicatedPostgreSQL) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.url("kept"))


def entries(server: ReplicatedPostgreSQL) -> list[object]:
    with connect(server) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM entries")]


def test_what_was_committed_survives_a_failover_and_an_open_transaction_does_not(server: ReplicatedPostgreSQL) -> None:
    with connect(server) as connection:
        connection.execute("INSERT INTO entries VALUES ('committed')")
    lost = connect(server)
    lost.execute("INSERT INTO entries VALUES ('open')")

    server.fail_over()

    with pytest.raises(psycopg.OperationalError):
        lost.commit()
    assert entries(server) == ["committed"]


def test_nobody_answers_between_the_crash_and_the_redirection(server: ReplicatedPostgreSQL) -> None:
    server.crash()
    with pytest.raises(psycopg.OperationalError, match=r"No such file|Connection refused"):
        connect(server)


def test_before_its_promotion_the_standby_reads_and_refuses_to_write(server: ReplicatedPostgreSQL) -> None:
    server.crash()
    server.redirect()
    assert entries(server) == []
    with connect(server) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("INSERT INTO entries VALUES ('too early')")

    server.promote()

    with connect(server) as connection:
        connection.execute("INSERT INTO entries VALUES ('promoted')")
    assert entries(server) == ["promoted"]


def test_a_pooler_in_front_of_it_finds_the_new_primary(server: ReplicatedPostgreSQL) -> None:
    with pooled(server) as pooler:
        with psycopg.connect(pooler.url("kept"), prepare_threshold=None) as connection:
            connection.execute("INSERT INTO entries VALUES ('before')")
        server.fail_over()
        with psycopg.connect(pooler.url("kept"), prepare_threshold=None) as connection:
            connection.execute("INSERT INTO entries VALUES ('after')")
    assert entries(server) == ["before", "after"]


def test_both_servers_leave_nothing_behind() -> None:
    with replicated() as server:
        folders = [server.socket_folder.parent, server.standby_folder]
        server.crash()
    assert not any(folder.exists() for folder in folders)
