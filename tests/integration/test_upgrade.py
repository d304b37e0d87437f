"""From the previous release to this one, with orders under way."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cluster import STOCK_ITEMS, Cluster
from order_history import OrderHistory
from previous_release import environment, obtain

from order_devstack import platform, stack_ledger
from order_devstack.conditions import condition
from order_devstack.platform import ledger_variables
from order_devstack.stack import Stack
from order_domain.status import TERMINAL_PHASES
from order_operator.cluster.conditions import Reason

pytestmark = pytest.mark.long

ORDERS = 85
"""Three of five are open when the upgrade begins."""
SERVERS = ["etcd", "kube-apiserver", "temporal"]
PROGRAMS = ["operator", "worker"]
SKU = "RESTOCKED"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return obtain(tmp_path / "previous")


@pytest.fixture
def previous(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The whole platform of the previous release: charts, operator, worker."""
    stack = Stack(tmp_path / "stack", ui=False)
    stack.up(SERVERS)
    with monkeypatch.context() as patch:
        patch.setattr(platform, "CHARTS", release / "charts")
        patch.setattr(stack_ledger, "prepare", partial(prepare_ledger, release))
        as_released(stack, release).up([*SERVERS, *PROGRAMS])
    try:
        yield Cluster(stack, "shop")
    finally:
        stack.clean()


def as_released(stack: Stack, release: Path, *further: Path) -> Stack:
    """The same stack, whose programs are of that release; `further` folders come first where Python looks for code."""
    variables = {
        "PYTHONPATH": os.pathsep.join([*map(str, further), environment(release)["PYTHONPATH"]]),
        # As that release spells them.
        "ORDER_WORKER_HEALTH_ADDRESS": stack.addresses["worker-probes"].removeprefix("http://"),
        "ORDER_WORKER_SIMULATION": "allowed",
    }
    return stack.with_environment(dict.fromkeys(PROGRAMS, variables))


def prepare_ledger(release: Path, worker: Mapping[str, str], pieces: Mapping[str, int]) -> None:
    """With the commands of the release."""
    for command in (["migrate"], ["ensure-stock", *(f"{sku}={count}" for sku, count in pieces.items())]):
        program = [sys.executable, "-P", "-m", "order_worker", *command]
        subprocess.run(program, env=dict(worker), cwd=release, check=True, capture_output=True)


def upgrade(cluster: Cluster) -> None:
    """Charts, ledger, operator, worker."""
    cluster.stack.stop(*PROGRAMS)
    for record in ("worker.ledger", "order-platform.chart"):
        (cluster.stack.root / "run" / record).unlink(missing_ok=True)
    cluster.stack.up([*SERVERS, *PROGRAMS])
    cluster.until(lambda: cluster.scans("full") > 0)
    cluster.until(lambda: cluster.scans("sweep") > 0)


def roll_back(cluster: Cluster, release: Path) -> None:
    """As far as it goes: the earlier worker refuses to start, so that its Deployment keeps the pods of this release."""
    assert "a newer release has migrated it" in refusal_to_start(cluster, release)
    cluster.stack.stop("operator")
    cluster.stack.helm("rollback", "order-platform", "1", f"--namespace={platform.NAMESPACE}", "--no-hooks")
    as_released(cluster.stack, release).start("operator")
    cluster.until(lambda: cluster.scans("full") > 0)


def refusal_to_start(cluster: Cluster, release: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "order_worker"],
        env={**environment(release), **ledger_variables(cluster.stack.root)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stderr


def only_the_earlier_worker(cluster: Cluster, release: Path) -> None:
    """One that runs since before the migration: it asked which schema the ledger has when it started."""
    running = release / "running"
    running.mkdir()
    (running / "sitecustomize.py").write_text(
        "from order_worker.ledger import schema\nschema.check = lambda connection: None\n"
    )
    cluster.stack.stop("worker")
    as_released(cluster.stack, release, running).start("worker")


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
    assert (phases.count("Completed"), phases.count("Cancelled")) == (ORDERS * 4 // 5, ORDERS // 5)


def _ended(cluster: Cluster, identifier: str) -> bool:
    status: str = cluster.workflow(identifier)["workflowExecutionInfo"]["status"]
    return status.endswith("COMPLETED")


ENDS = ["ChargePayment", "Ship", "Notify"]
CLASSES: dict[str, dict[str, Any]] = {
    "asking": {
        "pipeline": ["Receive", "ReserveStock", "Approval", *ENDS],
        "approval": {"mode": "Always", "windowSeconds": 86_400},
    },
    "backordering": {
        "pipeline": ["Receive", "ReserveStock", *ENDS],
        "inventory": {"onShortage": "Backorder", "backorderSeconds": 86_400},
    },
    "in-parcels": {
        "pipeline": ["Receive", "ReserveStock", *ENDS],
        "shipping": {"mode": "ChildWorkflows"},
    },
}
SCARCE = "SCARCE"
AT_REST = {
    "approval": "Await Approval",
    "held": "Await Approval",
    "unwanted": "Await Approval",
    "stock": "Await Stock",
    "address": "Await Address",
    "parcel": "Ship Order",
    "done": "Order Completed",
}
"""The orders of this release, and where each is. `held` is approved, too; no worker ships `parcel`."""
CHARGED = dict.fromkeys(AT_REST, (50_000, 0)) | {"unwanted": (0, 0), "stock": (3_000, 0)}
"""What each has paid and got back in the end."""
ELSEWHERE = {
    "name": "Ana Torres",
    "line1": "2 Side Street",
    "city": "Springfield",
    "postalCode": "62701",
    "country": "US",
}


def begin(cluster: Cluster) -> None:
    """Orders of this release, each at another point of its way."""
    for name, spec in CLASSES.items():
        cluster.create(
            {
                "apiVersion": "order-platform.dev/v1alpha1",
                "kind": "OrderClass",
                "metadata": {"name": name},
                "spec": spec,
            }
        )
    assert "added" in cluster.worker_command("ensure-stock", f"{SCARCE}=1")
    for name in ("approval", "held", "unwanted"):
        cluster.apply(name, className="asking")
    three = [{"lineID": "1", "sku": SCARCE, "quantity": 3, "unitPriceMinor": 1_000}]
    cluster.apply("stock", className="backordering", lines=three)
    cluster.apply("address", className=cluster.patient_class())
    cluster.apply("parcel", className="in-parcels")
    cluster.apply("done")
    cluster.until(lambda: statuses(cluster) == AT_REST)
    cluster.patch("held", suspend=True)
    cluster.patch("held", approval={"decision": "Approved", "by": "bob"})
    cluster.eventually(lambda status: status["phase"] == "Suspended" and "decision" in status["approval"], "held")


def statuses(cluster: Cluster) -> dict[str, str]:
    return {name: status.get("orderStatus", "") for name, status in orders(cluster).items() if name in AT_REST}


def bring_to_their_ends(cluster: Cluster) -> None:
    """By what people do with the resources, and the supplier."""
    cluster.patch("approval", approval={"decision": "Approved", "by": "bob"})
    cluster.patch("held", suspend=False)
    cluster.patch("unwanted", cancellation={"reason": "not wanted", "by": "ana"})
    cluster.patch("address", shippingAddress=ELSEWHERE)
    cluster.keep_stock("scarce", SCARCE, initialOnHand=1, minimum=5, target=10)


def all_ended_right(cluster: Cluster) -> None:
    """As the shop wanted it, in every book."""
    ends = dict.fromkeys(AT_REST, "Order Completed") | {"unwanted": "Order Cancelled"}
    cluster.until(lambda: statuses(cluster) == ends)
    uids = {name: cluster.order(name)["metadata"]["uid"] for name in AT_REST}
    charges = cluster.charges_of(uids.values())
    assert {name: charges[uid] for name, uid in uids.items()} == CHARGED
    assert cluster.audit().startswith("no flaws")
    assert cluster.reconcile().startswith("no differences")
    assert cluster.stock()["reserved"] == cluster.stock(SCARCE)["reserved"] == 0
    assert len(cluster.supplier_orders(SCARCE)) == 1


def test_orders_of_this_release_end_under_the_operator_of_the_one_before_where_the_identity_was_kept(
    previous: Cluster, release: Path, tmp_path: Path
) -> None:
    previous.stack = previous.stack.with_environment({"operator": {"ORDER_OPERATOR_CLUSTER": "default"}})
    upgrade(previous)
    begin(previous)
    history = OrderHistory(previous, tmp_path)

    with history.recording():
        roll_back(previous, release)
        previous.stack.start("shipping-worker")
        bring_to_their_ends(previous)
        all_ended_right(previous)
        upgrade(previous)
        all_ended_right(previous)

    assert history.versions().keys() >= AT_REST.keys()
    assert history.falls() == []


def test_orders_of_this_release_outlast_an_operator_of_the_one_before_that_does_not_follow_them(
    previous: Cluster, release: Path
) -> None:
    upgrade(previous)
    begin(previous)
    before = orders(previous)

    roll_back(previous, release)
    previous.apply("later", className="asking")
    previous.reaches("Waiting", "later")
    assert {name: _runs(previous, before[name]) for name in AT_REST} == {name: name != "done" for name in AT_REST}
    upgrade(previous)

    previous.until(lambda: statuses(previous) == AT_REST)
    for name, status in before.items():
        after = orders(previous)[name]
        assert (after["phase"], after["workflow"]["id"]) == (status["phase"], status["workflow"]["id"])
        assert after["progress"] == status["progress"], name
    previous.patch("later", approval={"decision": "Approved", "by": "bob"})
    previous.stack.start("shipping-worker")
    bring_to_their_ends(previous)
    previous.reaches("Completed", "later")
    all_ended_right(previous)


def _runs(cluster: Cluster, status: dict[str, Any]) -> bool:
    running: str = cluster.workflow(status["workflow"]["id"])["workflowExecutionInfo"]["status"]
    return running.endswith("RUNNING")


def test_orders_of_this_release_that_only_a_worker_of_the_one_before_carries_end_right_once_the_next_one_is_there(
    previous: Cluster, release: Path, tmp_path: Path
) -> None:
    upgrade(previous)
    begin(previous)
    history = OrderHistory(previous, tmp_path)

    with history.recording():
        only_the_earlier_worker(previous, release)
        bring_to_their_ends(previous)
        previous.apply("fresh", className="asking", suspend=True)
        previous.reaches("Suspended", "fresh")
        previous.patch("fresh", suspend=False)
        previous.reaches("Waiting", "fresh")
        previous.patch("fresh", lines=[{"lineID": "1", "sku": "PROD-001", "quantity": 2, "unitPriceMinor": 50_000}])
        previous.eventually(lambda status: status.get("totalMinor") == 100_000, "fresh")
        # The earlier one does not find what this release has reserved: it sells nothing and gives nothing back.
        for name in ("approval", "address"):
            previous.reaches("ManualReview", name)
        previous.reaches("Completed", "stock")
        previous.eventually(
            lambda status: condition(status, "Stalled").get("reason") == Reason.WORKFLOW_TASK_FAILED, "held"
        )
        previous.reaches("Compensating", "unwanted")

        upgrade(previous)
        previous.stack.start("shipping-worker")
        for name in ("approval", "address"):
            previous.patch(name, retry=1)
        previous.patch("fresh", approval={"decision": "Approved", "by": "bob", "totalMinor": 100_000})
        previous.reaches("Completed", "fresh")
        all_ended_right(previous)

    assert history.versions().keys() >= AT_REST.keys()
    assert history.falls() == []
