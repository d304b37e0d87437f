"""A watch behind a network that falls silent, and one of a cluster in which nothing happens."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from toxiproxy import toxiproxy
from watches_to_be_killed import RECONNECT_SECONDS, SILENT_SECONDS

from order_devstack.stack import Stack

SCRIPT = Path(__file__).parent / "watches_to_be_killed.py"

State = tuple[int, str]
"""How often each watch was answered, and which is deaf."""


@contextmanager
def watching(kubeconfig: Path) -> Iterator[Iterator[State]]:
    """What the watches say of themselves, ten times a second."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    process = subprocess.Popen([sys.executable, str(SCRIPT)], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield (_state(line) for line in process.stdout)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _state(line: str) -> State:
    answers, _, problem = line.rstrip("\n").partition(" ")
    return int(answers), problem


def until(holds: Callable[[State], bool], states: Iterator[State]) -> list[State]:
    """The states until one for which that holds."""
    passed = []
    deadline = time.monotonic() + 60
    for state in states:
        passed.append(state)
        if holds(state):
            break
        assert time.monotonic() < deadline, passed[-1]
    return passed


def through(address: str, kubeconfig: Path, folder: Path) -> Path:
    """A kubeconfig that goes by way of a link."""
    config = yaml.safe_load(kubeconfig.read_text())
    [server] = config["clusters"]
    server["cluster"]["server"] = f"https://{address}"
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def test_a_watch_on_a_network_that_is_silent_is_deaf_until_the_network_is_there_again(
    platform: Stack, tmp_path: Path
) -> None:
    """B22: it looked like a quiet cluster, until an object had been missed twice."""
    with toxiproxy(tmp_path) as proxy:
        link = proxy.link("kube-apiserver", platform.addresses["kube-apiserver"].removeprefix("https://"))
        with watching(through(link.address, platform.kubeconfig, tmp_path)) as states:
            until(lambda state: state[0] >= 2 and not state[1], states)

            with link.silence():
                until(lambda state: "has not been answered" in state[1], states)

            until(lambda state: not state[1], states)


def test_a_watch_of_a_cluster_in_which_nothing_happens_is_not_deaf(platform: Stack) -> None:
    longer_than_the_bound = 2 * int(SILENT_SECONDS / RECONNECT_SECONDS)

    with watching(platform.kubeconfig) as states:
        passed = until(lambda state: state[0] >= longer_than_the_bound or bool(state[1]), states)

    assert {problem for _, problem in passed} == {""}
