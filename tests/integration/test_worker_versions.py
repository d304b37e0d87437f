"""Workers that tell Temporal their version: an order ends on the version that it began on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cluster import Cluster

from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.errors import CommandFailed
from order_devstack.platform import ledger_variables
from order_devstack.stack import Stack

DEPLOYMENT = "versions"


def version(build: str) -> dict[str, str]:
    return {"TEMPORAL_DEPLOYMENT_NAME": DEPLOYMENT, "TEMPORAL_WORKER_BUILD_ID": build}


@pytest.fixture
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A platform whose worker is version one."""
    stack = Stack(tmp_path_factory.mktemp("versions"), ui=False).with_environment({"worker": version("one")})
    try:
        stack.up(["etcd", "kube-apiserver", "temporal", "operator", "worker"])
        make_current(stack, "one")
        yield Cluster(stack, "versions")
    finally:
        stack.clean()


def make_current(stack: Stack, build: str) -> None:
    """Once the server has heard of it."""

    def refusal() -> str:
        try:
            named = ("--deployment-name", DEPLOYMENT, "--build-id", build, "--yes")
            stack.temporal("worker", "deployment", "set-current-version", *named)
        except CommandFailed as failed:
            return str(failed)
        return ""

    wait_until_nothing_is_missing(refusal, within_seconds=60.0, say=print)


@contextmanager
def a_worker_beside(stack: Stack, build: str) -> Iterator[None]:
    nowhere = {"ORDER_WORKER_METRICS_ADDRESS": "", "ORDER_WORKER_PROBES_ADDRESS": ""}
    temporal = {"TEMPORAL_ADDRESS": stack.addresses["temporal"], "ORDER_WORKER_SIMULATION": "true"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "order_worker"],
        env={**os.environ, **ledger_variables(stack.root), **temporal, **nowhere, **version(build)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def builds(cluster: Cluster, name: str) -> tuple[str, str]:
    """How the order's workflow is bound to a version, and to which."""
    workflow = cluster.status(name)["workflow"]["id"]
    described = json.loads(cluster.stack.temporal("workflow", "describe", "-w", workflow, "--output=json"))
    bound = described["workflowExecutionInfo"]["versioningInfo"]
    return str(bound["behavior"]), str(bound["deploymentVersion"]["buildId"])


def test_an_order_ends_on_the_version_that_it_began_on_and_a_new_one_begins_on_the_next(versioned: Cluster) -> None:
    versioned.apply("waiting", total=150_000)
    versioned.reaches("Waiting", "waiting")

    with a_worker_beside(versioned.stack, "two"):
        make_current(versioned.stack, "two")
        versioned.apply("next")
        versioned.reaches("Completed", "next")
        versioned.patch("waiting", approval={"decision": "Approved", "by": "maria"})
        versioned.reaches("Completed", "waiting")

    assert [kind[-6:].upper() for kind, _ in (builds(versioned, "waiting"), builds(versioned, "next"))] == [
        "PINNED"
    ] * 2
    assert (builds(versioned, "waiting")[1], builds(versioned, "next")[1]) == ("one", "two")
