"""A watch behind a network that falls silent, and one of a cluster in which nothing happens."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from api_proxy import ALWAYS
from cluster import Cluster
from toxiproxy import toxiproxy
from watches_to_be_killed import RECONNECT_SECONDS as SHORTENED_RECONNECT_SECONDS
from watches_to_be_killed import SILENT_SECONDS as SHORTENED_SILENT_SECONDS
from wiring import ORDERS_WATCH, Wiring

from order_devstack.stack import Stack
from order_operator.watch_liveness import RECONNECT_SECONDS, SILENT_SECONDS

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
    longer_than_the_bound = 2 * int(SHORTENED_SILENT_SECONDS / SHORTENED_RECONNECT_SECONDS)

    with watching(platform.kubeconfig) as states:
        passed = until(lambda state: state[0] >= longer_than_the_bound or bool(state[1]), states)

    assert {problem for _, problem in passed} == {""}


def liveness(stack: Stack) -> tuple[int, str]:
    """What the operator answers a kubelet that asks whether it is alive."""
    try:
        with urllib.request.urlopen(f"{stack.addresses['operator-probes']}/healthz", timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as failed:
        return failed.code, failed.read().decode()


@pytest.mark.long
def test_an_operator_whose_watch_is_deaf_says_so_to_the_kubelet_until_it_hears_again(
    wired: Wiring, shop: Cluster
) -> None:
    """Everything else between the two goes on: it leads, writes and lists."""
    operator = wired.stack.pid("operator")
    assert liveness(wired.stack)[0] == 200

    wired.api.hold(ORDERS_WATCH, after=False, times=ALWAYS)

    shop.until(lambda: "has not been answered" in liveness(wired.stack)[1], seconds=RECONNECT_SECONDS + SILENT_SECONDS)
    assert liveness(wired.stack)[0] == 503
    wired.api.mend()
    shop.until(lambda: liveness(wired.stack)[0] == 200)
    shop.apply()
    shop.reaches("Completed")
    assert wired.stack.pid("operator") == operator
