import socket
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


def test_a_taken_port_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port == 20007)

    assert ports.choose(["name"], keep={}) == {"name": 20007}


def test_ports_outlive_the_command(tmp_path: Path) -> None:
    ports.save(tmp_path / "ports.json", {"etcd": 20001})

    assert ports.load(tmp_path / "ports.json") == {"etcd": 20001}


def test_before_the_first_start_no_port_is_known(tmp_path: Path) -> None:
    assert ports.load(tmp_path / "ports.json") == {}
