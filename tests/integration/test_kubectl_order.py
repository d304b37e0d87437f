"""`kubectl order` on a real stack, run by kubectl's own plugin dispatch, as people with and without rights."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from cluster import ORDERS, Cluster

from order_cli.kubectl import ANOTHER_ORDER, problem
from order_devstack import environment


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    error: str


Ask = Callable[..., Said]


def run(cluster: Cluster, *arguments: str) -> Said:
    """kubectl, which finds the plugin beside this Python."""
    folders = [str(cluster.stack.root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["kubectl", *arguments],  # noqa: S607 - the stack's, by PATH
        env={
            **environment.for_processes(cluster.stack.root),
            "PATH": os.pathsep.join(folders),
            "KUBECONFIG": str(cluster.stack.kubeconfig),
        },
        input="",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def kubectl_order(cluster: Cluster) -> Ask:
    """Runs `kubectl order` in the namespace of the test, as somebody."""

    def ask(*arguments: str, as_: str = "") -> Said:
        who = ["--as", as_] if as_ else []
        return run(cluster, "order", *arguments, "--namespace", cluster.namespace, *who)

    return ask


@pytest.fixture
def people(cluster: Cluster) -> None:
    """ana orders, and approves what others ordered; bob approves; vera reads. The policies hold."""
    cluster.stack.kubectl("label", "namespace", cluster.namespace, "order-platform.dev/policies=enforced")
    for who, role in (("ana", "editor"), ("ana", "approver"), ("bob", "approver"), ("vera", "viewer")):
        binding = ["create", "rolebinding", f"{who}-{role}", f"--clusterrole=order-platform-{role}", f"--user={who}"]
        cluster.kubectl(*binding)


def create(kubectl_order: Ask, name: str, price: str = "1500", **options: str) -> Said:
    sku = ["--sku", f"PROD-001=1@{price}", "--customer", "CUST-1", "--class", "threshold"]
    address = ["--recipient", "Ana Torres", "--line1", "1 Main Street", "--city", "Springfield", "--country", "US"]
    return kubectl_order("create", name, *sku, *address, **options)


def test_an_order_is_placed_approved_and_followed_to_its_end(kubectl_order: Ask) -> None:
    assert create(kubectl_order, "mine").code == 0
    assert kubectl_order("wait", "mine", "--for", "waiting", "--timeout", "60s").code == 0
    assert "mine waits for a decision: 1500.00 USD is above the 1000.00 USD" in kubectl_order("why", "mine").out

    approved = kubectl_order("approve", "mine", "--reason", "known customer", "--yes")
    ended = kubectl_order("wait", "mine", "--timeout", "60s")

    assert (approved.code, "✓ approved, taken by the workflow after" in approved.out) == (0, True), approved
    assert (ended.code, "mine completed after" in ended.out) == (0, True), ended
    assert "Order Completed" in kubectl_order("list").out
    tracked = kubectl_order("track", "mine").out
    assert 'approved by admin: "known customer"' in tracked
    assert "captured 1500.00" in tracked


def test_under_the_policies_everybody_does_what_they_may_and_is_told_whom_to_ask(
    kubectl_order: Ask, people: None
) -> None:
    assert create(kubectl_order, "hers", as_="ana").code == 0
    kubectl_order("wait", "hers", "--for", "waiting", as_="vera")

    viewer = kubectl_order("approve", "hers", "--yes", as_="vera")
    creator = create(kubectl_order, "his", as_="bob")
    inbox = kubectl_order("inbox", as_="bob")
    approved = kubectl_order("approve", "hers", "--yes", as_="bob")
    kubectl_order("wait", "hers", as_="vera")

    assert (viewer.code, "takes the verb approve in" in viewer.error) == (6, True), viewer
    assert creator.code == 6, creator
    assert "hers" in inbox.out
    assert approved.code == 0, approved
    assert "bob" in kubectl_order("audit", "hers", as_="vera").out
    assert "name proven" in kubectl_order("audit", "hers", as_="vera").out


def test_an_order_is_changed_held_let_go_and_cancelled(kubectl_order: Ask, cluster: Cluster) -> None:
    create(kubectl_order, "mine")
    kubectl_order("wait", "mine", "--for", "waiting")

    lines = kubectl_order("lines", "mine", "--set", "PROD-001=2", "--yes")
    address = kubectl_order("address", "mine", "--city", "Boston", "--yes")
    held = kubectl_order("suspend", "mine")
    let_go = kubectl_order("resume", "mine")
    cancelled = kubectl_order("cancel", "mine", "--reason", "ordered twice", "--yes")
    ended = kubectl_order("wait", "mine", "--timeout", "60s")

    assert "mine is 3000.00 USD now" in lines.out, lines
    assert "mine goes to Boston, US" in address.out, address
    assert (held.code, let_go.code, cancelled.code) == (0, 0, 0), (held, let_go, cancelled)
    assert (ended.code, "ended as Cancelled" in ended.error) == (4, True), ended
    assert cluster.status("mine")["approval"].get("decision") is None


def test_an_order_that_fails_ends_with_another_code_and_says_why(kubectl_order: Ask) -> None:
    done = kubectl_order("create", "--scenario", "non-recoverable-failure", "--wait", "--timeout", "100s")

    assert (done.code, "ended as" in done.error) == (4, True), done


def test_a_live_table_ends_when_all_orders_have(kubectl_order: Ask) -> None:
    create(kubectl_order, "small", price="5")
    create(kubectl_order, "large")
    seen: list[Said] = []
    watcher = threading.Thread(target=lambda: seen.append(kubectl_order("watch", "--until-finished")))
    watcher.start()
    waits = kubectl_order("wait", "large", "--for", "waiting", "--timeout", "60s")
    assert waits.code == 0, waits

    kubectl_order("reject", "large", "--reason", "too much", "--yes")
    watcher.join(timeout=60)

    (said,) = seen
    assert said.code == 0
    assert "Await Approval" in said.out
    assert "Order Rejected" in said.out


def test_kubectl_completes_commands_and_names(kubectl_order: Ask, cluster: Cluster) -> None:
    create(kubectl_order, "mine", price="5")

    commands = run(cluster, "__complete", "order", "appr").out.splitlines()
    names = run(cluster, "__complete", "order", "why", "-n", cluster.namespace, "mi").out.splitlines()

    assert commands[0] == "approve"
    assert names[0] == "mine"


def test_a_doctor_sees_the_installation(kubectl_order: Ask) -> None:
    said = kubectl_order("doctor")

    assert "✓ kinds orders, orderclasses, stockitems are served, and of this release" in said.out
    assert "leads, renewed" in said.out
    assert "✓ default class standard" in said.out
    assert "✗" not in said.out, said


def test_lists_for_programs_are_json(kubectl_order: Ask) -> None:
    create(kubectl_order, "mine", price="5")

    listed = json.loads(kubectl_order("list", "-o", "json").out)

    assert [item["metadata"]["name"] for item in listed["items"]] == ["mine"]


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"metadata": {"uid": "another"}, "spec": {"suspend": True}}),
        ("json", [{"op": "test", "path": "/metadata/uid", "value": "another"}]),
    ],
    ids=["merge patch", "JSON patch"],
)
def test_the_api_servers_answer_to_a_patch_of_another_order_is_told_in_plain_words(
    cluster: Cluster, kind: str, patch: object
) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")

    said = run(
        cluster, "patch", ORDERS, "order", "-n", cluster.namespace, f"--type={kind}", "--patch", json.dumps(patch)
    )

    assert said.code != 0
    assert str(problem(said.error)) == ANOTHER_ORDER, said.error
    assert not cluster.order()["spec"].get("suspend")
