import socket
import subprocess
import sys
from pathlib import Path

import pytest

from order_devstack import ports


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_every_name_gets_a_port_of_its_own() -> None:
    chosen = ports.choose([f"name-{n}" for n in range(50)], keep={})

    assert len(set(chosen.values())) == 50


def test_a_kept_port_is_neither_changed_nor_given_away() -> None:
    chosen = ports.choose(["old", "new"], keep={"old": 20001})

    assert chosen["old"] == 20001
    assert chosen["new"] != 20001


def test_a_port_on_which_somebody_listens_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        monkeypatch.setattr(ports, "_CANDIDATES", range(taken := server.getsockname()[1], taken + 1))

        with pytest.raises(StopIteration):
            ports.choose(["name"], keep={})


def test_a_port_that_another_process_chose_is_not_chosen_before_its_server_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose = "from order_devstack import ports; print(ports.choose(['name'], keep={})['name'], flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", choose], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        monkeypatch.setattr(ports, "_CANDIDATES", range(theirs, theirs + 1))

        with pytest.raises(StopIteration):
            ports.choose(["name"], keep={})

        other.communicate("\n")


def test_a_server_may_listen_on_a_chosen_port() -> None:
    port = ports.choose(["name"], keep={})["name"]

    assert ports.is_free(port)
    with socket.create_server((ports.HOST, port)):
        pass


def test_a_port_that_was_given_back_is_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ports.choose(["name"], keep={})["name"]
    monkeypatch.setattr(ports, "_CANDIDATES", range(port, port + 1))

    ports.give_back([port])

    assert ports.choose(["name"], keep={}) == {"name": port}


def test_ports_outlive_the_command(tmp_path: Path) -> None:
    ports.save(tmp_path / "ports.json", {"etcd": 20001})

    assert ports.load(tmp_path / "ports.json") == {"etcd": 20001}


def test_before_the_first_start_no_port_is_known(tmp_path: Path) -> None:
    assert ports.load(tmp_path / "ports.json") == {}
