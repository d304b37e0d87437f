"""The stack against real servers: each test has a stack of its own, since most of them break it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from terminal import with_ctrl_c

from order_devstack.errors import CommandFailed, DevstackError
from order_devstack.locking import exclusive
from order_devstack.ports import HOST
from order_devstack.processes import State
from order_devstack.stack import PROCESSES, SERVERS, Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "stack", ui=False)
    try:
        yield stack
    finally:
        stack.clean()


@pytest.fixture
def program_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `temporal` of the pinned version that cannot start a server."""
    program = tmp_path / "assets" / "temporal"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo temporal version 1.8.2 && exit\necho no server today\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(program.parent))


def pids(stack: Stack) -> dict[str, int | None]:
    return {name: stack.pid(name) for name in PROCESSES}


def eventually(condition: Callable[[], bool], within_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline, "the state waited for did not come"
        time.sleep(0.05)


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    assert stack.up(SERVERS)
    before = pids(stack)

    assert not stack.up(SERVERS)
    assert pids(stack) == before


def test_killed_servers_come_back_with_their_data_and_addresses(stack: Stack) -> None:
    stack.start(*SERVERS)
    stack.kubectl("create", "configmap", "kept")
    stack.temporal("operator", "search-attribute", "create", "--name", "Kept", "--type", "Keyword")
    addresses = stack.addresses
    for name in SERVERS:
        stack.kill(name)
    assert {row.state for row in stack.status()[:3]} == {State.DIED}

    stack.start(*SERVERS)

    assert stack.kubectl("get", "configmap", "kept", "--output=name") == "configmap/kept\n"
    assert "Kept" in stack.temporal("operator", "search-attribute", "list")
    assert stack.addresses == addresses


def test_an_api_server_survives_the_restart_of_its_etcd(stack: Stack) -> None:
    stack.start("etcd", "kube-apiserver")
    apiserver = stack.pid("kube-apiserver")
    stack.kill("etcd")

    stack.start("etcd", "kube-apiserver")

    assert stack.pid("kube-apiserver") == apiserver


def test_two_stacks_live_side_by_side(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path / "other stack", ui=False)
    try:
        stack.start("etcd", "kube-apiserver")
        other.start("etcd", "kube-apiserver")
        stack.kubectl("create", "configmap", "mine")

        assert "mine" not in other.kubectl("get", "configmaps", "--output=name")
        assert not set(stack.addresses.values()) & set(other.addresses.values())
    finally:
        other.clean()


def test_after_down_no_process_and_no_pid_file_is_left_and_the_data_stays(stack: Stack) -> None:
    stack.start(*SERVERS)
    processes = [psutil.Process(stack.pid(name)) for name in SERVERS]

    stack.down()

    assert not any(process.is_running() for process in processes)
    assert not list((stack.root / "run").glob("*.pid"))
    assert (stack.root / "data" / "etcd").is_dir()


def test_the_api_server_stops_before_its_etcd(tmp_path: Path) -> None:
    said: list[str] = []
    stack = Stack(tmp_path / "stack", say=said.append)
    stack.start("etcd", "kube-apiserver")
    said.clear()

    stack.clean()

    assert said == ["kube-apiserver: stopped", "etcd: stopped"]


def test_clean_deletes_the_state_directory(stack: Stack) -> None:
    stack.start("etcd")

    stack.clean()

    assert not stack.root.exists()


def test_clean_refuses_a_directory_that_is_no_stack(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    with pytest.raises(DevstackError, match="does not look like"):
        Stack(tmp_path).clean()

    assert (tmp_path / "precious").exists()


def test_a_pid_file_of_another_process_is_replaced_and_that_process_left_alone(stack: Stack) -> None:
    somebody = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        pid_file = stack.root / "run" / "etcd.pid"
        pid_file.parent.mkdir(parents=True)
        pid_file.write_text(f"{somebody.pid}\n")
        os.utime(pid_file, (time.time() - 3600,) * 2)

        stack.start("etcd")

        assert stack.pid("etcd") != somebody.pid
        assert somebody.poll() is None
    finally:
        somebody.communicate(b"\n")


def test_a_process_whose_pid_file_was_never_written_is_found_and_stopped(stack: Stack) -> None:
    stack.start("etcd")
    unrecorded = psutil.Process(stack.pid("etcd"))
    (stack.root / "run" / "etcd.pid").unlink()

    stack.down()

    assert not unrecorded.is_running()


def test_a_process_that_runs_without_answering_is_replaced(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("order_devstack.stack._RECOVERY_SECONDS", 1.0)
    stack.start("etcd")
    frozen = stack.pid("etcd")
    stack.kill("etcd", signal.SIGSTOP)

    stack.start("etcd")

    assert stack.pid("etcd") not in {None, frozen}


@pytest.mark.usefixtures("program_that_ends_at_once")
def test_a_failed_start_shows_the_log_and_stops_only_what_it_started(stack: Stack) -> None:
    stack.start("etcd")
    etcd = stack.pid("etcd")

    with pytest.raises(DevstackError, match="no server today"):
        stack.start(*SERVERS)

    assert pids(stack) == {name: etcd if name == "etcd" else None for name in PROCESSES}


@pytest.mark.usefixtures("program_that_ends_at_once")
def test_keep_leaves_running_what_a_failed_start_had_started(stack: Stack) -> None:
    with pytest.raises(DevstackError):
        stack.start("etcd", "temporal", keep=True)

    assert stack.pid("etcd")


def test_a_stopped_stack_moves_away_from_a_port_that_somebody_took(stack: Stack) -> None:
    stack.start("etcd", "kube-apiserver")
    stack.kubectl("create", "configmap", "kept")
    stack.down()
    taken = stack.addresses["etcd"]

    with _listening_on(taken):
        stack.start("etcd", "kube-apiserver")

    assert stack.addresses["etcd"] != taken
    assert stack.kubectl("get", "configmap", "kept", "--output=name") == "configmap/kept\n"


def test_a_single_process_does_not_move_away_from_its_port(stack: Stack) -> None:
    stack.start("etcd", "kube-apiserver")
    stack.kill("kube-apiserver")

    taken = stack.addresses["kube-apiserver"]
    with _listening_on(taken), pytest.raises(DevstackError, match=r"port \d+ of kube-apiserver is taken"):
        stack.start("etcd", "kube-apiserver")


def test_an_interrupted_start_stops_what_it_started(stack: Stack) -> None:
    command = _command(stack, "up", *SERVERS)
    eventually(lambda: stack.pid("temporal") is not None)

    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)

    assert command.returncode == 130
    assert set(pids(stack).values()) == {None}


def test_a_second_command_says_that_it_waits_and_waits(stack: Stack) -> None:
    with exclusive(stack.root / "lock", on_wait=lambda: None):
        command = _command(stack, "up", "etcd")
        assert command.stdout is not None
        assert command.stdout.readline() == f"another command is working on {stack.root}, waiting for it\n"
        assert stack.pid("etcd") is None

    assert "etcd: started" in command.communicate(timeout=60)[0]


def test_two_commands_at_once_start_one_stack(stack: Stack) -> None:
    commands = [_command(stack, "up", "etcd", "kube-apiserver") for _ in range(2)]
    outputs = [command.communicate(timeout=120)[0] for command in commands]

    assert [command.returncode for command in commands] == [0, 0]
    assert sum("everything runs already" in output for output in outputs) == 1


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that nobody breaks, with people and a log of all requests, started in the shell of somebody who has other
    clusters."""
    users = {"ana": ["approvers"], "root": ["system:masters"]}
    stack = Stack(tmp_path_factory.mktemp("furnished") / "stack", ui=False, users=users, audit=True)
    with pytest.MonkeyPatch.context() as shell:
        shell.setenv("KUBECONFIG", os.devnull)
        shell.setenv("TEMPORAL_ADDRESS", "temporal.invalid:7233")
        shell.setenv("TEMPORAL_API_KEY", "a-key-would-switch-TLS-on")
        shell.setenv("HELM_KUBECONTEXT", "production")
        try:
            stack.up(SERVERS)
            yield stack
        finally:
            stack.clean()


def test_settings_of_other_clusters_in_the_shell_do_not_reach_the_stack(furnished: Stack) -> None:
    assert os.environ["KUBECONFIG"] == os.devnull
    assert furnished.kubectl("get", "namespace", "default", "--output=name") == "namespace/default\n"
    assert "default" in furnished.temporal("operator", "namespace", "list")
    assert furnished.helm("list") != ""


def test_the_env_file_leads_a_shell_to_the_servers(furnished: Stack) -> None:
    script = (
        f". '{furnished.root}/env' && kubectl get namespace default --output=name && command -v etcd && command -v helm"
    )

    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "namespace/default",
        f"{furnished.root}/bin/etcd",
        f"{furnished.root}/bin/helm",
    ]


def test_status_exits_with_3_unless_everything_runs(stack: Stack) -> None:
    stack.start("etcd")

    command = _command(stack, "status")
    output = command.communicate()[0]

    assert command.returncode == 3
    assert [line.split()[1] for line in output.splitlines()[1:6]] == ["running"] + 4 * ["stopped"]


def test_further_users_have_the_rights_of_their_groups_only(furnished: Stack) -> None:
    assert "ana" in furnished.kubectl("auth", "whoami", user="ana")
    assert furnished.kubectl("auth", "can-i", "delete", "namespaces", user="root") == "yes\n"
    with pytest.raises(CommandFailed, match="forbidden"):
        furnished.kubectl("get", "pods", user="ana")


def test_the_audit_log_has_one_line_per_request(furnished: Stack) -> None:
    furnished.kubectl("create", "configmap", "counted")

    events = [json.loads(line) for line in (furnished.root / "log" / "audit.log").read_text().splitlines()]
    assert [e["verb"] for e in events if e.get("objectRef", {}).get("name") == "counted"] == ["create"]


def _command(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "order_devstack", "--dir", str(stack.root), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=with_ctrl_c,
    )


@contextlib.contextmanager
def _listening_on(address: str) -> Iterator[None]:
    port = int(address.rsplit(":", 1)[1])
    with socket.create_server((HOST, port)):
        yield
