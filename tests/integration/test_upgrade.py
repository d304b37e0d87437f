"""From the previous release to this one, with orders under way."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cluster import STOCK_ITEMS, Cluster
from previous_release import environment, obtain

from order_devstack import platform, stack_ledger
from order_devstack.stack import Stack
from order_domain.status import TERMINAL_PHASES

pytestmark = pytest.mark.long

ORDERS = 50
SERVERS = ["etcd", "kube-apiserver", "temporal"]
PROGRAMS = ["operator", "worker"]
SKU = "RESTOCKED"


@pytest.fixture
def previous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The whole platform of the previous release: charts, operator, worker."""
    release = obtain(tmp_path / "previous")
    stack = Stack(tmp_path / "stack", ui=False)
    stack.up(SERVERS)
    of_the_release = {
        "PYTHONPATH": environment(release)["PYTHONPATH"],
        # As that release spells them.
        "ORDER_WORKER_HEALTH_ADDRESS": stack.addresses["worker-probes"].removeprefix("http://"),
        "ORDER_WORKER_SIMULATION": "allowed",
    }
    with monkeypatch.context() as patch:
        patch.setattr(platform, "CHARTS", release / "charts")
        patch.setattr(stack_ledger, "prepare", partial(prepare_ledger, release))
        stack.with_environment(dict.fromkeys(PROGRAMS, of_the_release)).up([*SERVERS, *PROGRAMS])
    try:
        yield Cluster(stack, "shop")
    finally:
        stack.clean()


def prepare_ledger(release: Path, worker: Mapping[str, str], pieces: Mapping[str, int]) -> None:
    """With the commands of the release."""
    for command in (["migrate"], ["ensure-stock", *(f"{sku}={count}" for sku, count in pieces.items())]):
        program = [sys.executable, "-P", "-m", "order_worker", *command]
        subprocess.run(program, env=dict(worker), cwd=release, check=True, capture_output=True)


def upgrade(cluster: Cluster) -> None:
    """Charts, ledger, operator, worker."""
    cluster.stack.stop(*PROGRAMS)
    (cluster.stack.root / "run" / "worker.ledger").unlink()
    cluster.stack.up([*SERVERS, *PROGRAMS])


def orders(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The status of each, by name."""
    listed = json.loads(cluster.kubectl("get", "ord", "--output=json"))
    return {item["metadata"]["name"]: item.get("status", {}) for item in listed["items"]}


def place(cluster: Cluster) -> None:
    """Some wait for approval, some are suspended, decided, completed or cancelled."""
    for number in range(ORDERS):
        cluster.apply(f"order-{number}", total=150_000, suspend=number % 5 == 1 or None)
    cluster.until(lambda: all(status.get("phase") in ("Waiting", "Suspended") for status in orders(cluster).values()))
    for number in range(0, ORDERS, 5):
        cluster.patch(f"order-{number}", approval={"decision": "Approved", "by": "bob"})
        cluster.patch(f"order-{number + 2}", cancellation={"reason": "not wanted", "by": "ana"})
        # The order is held after the decision: suspended, then approved.
        cluster.patch(f"order-{number + 1}", approval={"decision": "Approved", "by": "carol"})
    cluster.until(lambda: all(_rests(number, orders(cluster)[f"order-{number}"]) for number in range(ORDERS)))


def _rests(number: int, status: dict[str, Any]) -> bool:
    if number % 5 == 1:
        return bool(status.get("phase") == "Suspended")
    return bool(status.get("phase") == {0: "Completed", 2: "Cancelled"}.get(number % 5, "Waiting"))


def test_an_upgrade_changes_no_phase_lowers_no_progress_and_loses_no_decision(previous: Cluster) -> None:
    previous.keep_stock("item", SKU, initialOnHand=1, minimum=5, target=10)
    previous.eventually(lambda status: bool(status.get("supplierOrder", {}).get("placedAt")), "item", kind=STOCK_ITEMS)
    place(previous)
    before = orders(previous)

    upgrade(previous)

    previous.until(lambda: previous.scans("full") > 0)
    previous.until(lambda: previous.scans("sweep") > 0)
    after = orders(previous)
    assert {name: status["phase"] for name, status in after.items()} == {
        name: status["phase"] for name, status in before.items()
    }
    for name, status in after.items():
        assert status["progress"] >= before[name]["progress"], name
        assert status["workflow"]["id"] == before[name]["workflow"]["id"], name
        decided = before[name].get("approval", {}).get("decision")
        assert status.get("approval", {}).get("decision") == decided, name
    handed_over = f"stock/{previous.identity()}/{SKU}"
    previous.eventually(
        lambda status: status.get("workflow", {}).get("id") == handed_over and status.get("onHand") == 10,
        "item",
        kind=STOCK_ITEMS,
    )
    assert previous.supplier_orders(SKU) == [9]
    previous.until(lambda: _ended(previous, f"stock/{SKU}"))

    for number in range(ORDERS):
        if number % 5 == 1:
            previous.patch(f"order-{number}", suspend=False)
        elif number % 5 > 2:
            previous.patch(f"order-{number}", approval={"decision": "Approved", "by": "bob"})
    previous.until(lambda: all(status["phase"] in TERMINAL_PHASES for status in orders(previous).values()))
    phases = [status["phase"] for status in orders(previous).values()]
    assert (phases.count("Completed"), phases.count("Cancelled")) == (40, 10)


def _ended(cluster: Cluster, identifier: str) -> bool:
    status: str = cluster.workflow(identifier)["workflowExecutionInfo"]["status"]
    return status.endswith("COMPLETED")
