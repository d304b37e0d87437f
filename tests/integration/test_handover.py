"""A leader that is told to stop makes room for the one that stands by."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from cluster import Cluster

from order_devstack.platform import NAMESPACE
from order_devstack.stack import Stack

LEASE = "order-platform-operator"


class Operator:
    """A further operator of the same release, and what it logs."""

    def __init__(self, stack: Stack, identity: str) -> None:
        environment = {
            **os.environ,
            "KUBECONFIG": str(stack.root / "operator.kubeconfig"),
            "TEMPORAL_ADDRESS": stack.addresses["temporal"],
            "ORDER_OPERATOR_LEASE_NAMESPACE": NAMESPACE,
            "ORDER_OPERATOR_IDENTITY": identity,
            "ORDER_OPERATOR_METRICS_ADDRESS": "",
            "ORDER_OPERATOR_PROBES_ADDRESS": "",
        }
        command = [sys.executable, "-P", "-m", "order_operator"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.said.append(json.loads(line)["message"])

    def stop(self) -> int:
        """Asks it to stop; its exit code once it has, and once its log is read to the end."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        return code


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[tuple[Operator, Operator]]:
    """One that leads and one that stands by, in place of the stack's own."""
    stack = cluster.stack
    stack.stop("operator")
    operators: list[Operator] = []
    try:
        for identity, word in (("first", "leading"), ("second", "standing by")):
            operators.append(Operator(stack, identity))
            cluster.until(lambda word=word: word in operators[-1].said)  # type: ignore[misc]
        yield operators[0], operators[1]
    finally:
        for operator in operators:
            operator.stop()  # so that the Lease is free for the stack's own
        stack.up()


def test_a_leader_that_is_told_to_stop_is_followed_by_the_one_that_stands_by(
    cluster: Cluster, pair: tuple[Operator, Operator]
) -> None:
    """B19: the Lease was given back seconds later, when the watches had ended. It runs out after 15 s: who leads sooner
    was given it."""
    first, second = pair

    assert first.stop() == 0
    cluster.until(lambda: "leading" in second.said, seconds=10)

    assert first.said[-1] == "stopped"
    cluster.apply()
    cluster.reaches("Completed")


def test_one_that_stands_by_and_is_told_to_stop_leaves_the_leader_alone(
    cluster: Cluster, pair: tuple[Operator, Operator]
) -> None:
    _, second = pair

    assert second.stop() == 0

    lease = json.loads(cluster.stack.kubectl("get", "lease", LEASE, "--namespace", NAMESPACE, "--output=json"))
    assert lease["spec"]["holderIdentity"] == "first"
    assert second.said[-1] == "stopped"
