"""From the previous release to this one on a node, kinds first, with orders under way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_shop import Shop, article
from installation import TEMPORAL_NAMESPACE, Installation
from previous_images import TAG, of_previous_release
from previous_release import obtain

from order_devstack.cluster.cluster import Cluster
from order_devstack.errors import CommandFailed
from order_devstack.images import Image

pytestmark = pytest.mark.cluster

REVIEWED = "reviewed"
ROLLBACK_SECONDS = 30
"""Operators are ready in ten; for the workers no time suffices."""
ORDERS = 10
"""Of ten two are approved and Completed, two approved while they are held, two cancelled; four wait."""


@pytest.fixture
def previous(built_images: list[Image], tmp_path: Path) -> Iterator[Installation]:
    """The previous release by its own charts, on a node of its own: kinds are the cluster's."""
    release = obtain(tmp_path / "release")
    node = Cluster(tmp_path / "node", say=lambda _: None)
    try:
        node.up()
        for image in built_images:
            node.load(image.archive)
            node.load(of_previous_release(image, release, tmp_path))
        node.temporal("operator", "namespace", "create", f"--namespace={TEMPORAL_NAMESPACE}", "--retention=72h")
        platform = Installation(node, tmp_path, charts=release / "charts")
        platform.prepare_namespace()
        platform.install({name: {"image": {"tag": TAG}} for name in ("operator", "worker")})
        yield platform
    finally:
        node.down()


def a_class_that_asks_somebody(platform: Installation) -> None:
    spec = {
        "pipeline": ["Receive", "Validate", "Approval", "ReserveStock", "ChargePayment", "Ship"],
        "approval": {"mode": "Always", "windowSeconds": 86_400},
    }
    reviewed = {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "OrderClass",
        "metadata": {"name": REVIEWED},
        "spec": spec,
    }
    platform.apply(reviewed, article())


def rests(number: int, phase: str) -> bool:
    return phase == {0: "Completed", 1: "Suspended", 2: "Cancelled"}.get(number % 5, "Waiting")


def facts(order: dict[str, Any]) -> dict[str, Any]:
    status = order["status"]
    return {
        "phase": status["phase"],
        "workflow": status["workflow"]["id"],
        "decision": status.get("approval", {}).get("decision"),
    }


def test_orders_keep_phase_progress_and_decisions_and_go_on(previous: Installation) -> None:
    a_class_that_asks_somebody(previous)
    shop = Shop(previous, "shop")
    names = shop.place(ORDERS, of=REVIEWED)
    previous.until(lambda: set(shop.phases().values()) == {"Waiting"}, "all orders waiting")
    for number, name in enumerate(names):
        if number % 5 == 1:
            shop.patch(name, suspend=True)
            shop.patch(name, approval={"decision": "Approved", "by": "carol"})
        elif number % 5 == 0:
            shop.patch(name, approval={"decision": "Approved", "by": "bob"})
        elif number % 5 == 2:
            shop.patch(name, cancellation={"reason": "not wanted", "by": "ana"})
    previous.until(
        lambda: all(rests(number, shop.phases()[name]) for number, name in enumerate(names)), "all orders at rest"
    )
    before = shop.orders()

    previous.upgrade_to_this_release()

    previous.becomes_whole()
    another = shop.place(1, prefix="new", of="standard")
    shop.complete(another)  # the new operator leads and sees
    after = shop.orders()
    assert {name: facts(after[name]) for name in names} == {name: facts(before[name]) for name in names}
    for name in names:
        assert after[name]["status"]["progress"] >= before[name]["status"]["progress"], name
    for number, name in enumerate(names):
        if number % 5 == 1:
            shop.patch(name, suspend=False)
        elif number % 5 > 2:
            shop.patch(name, approval={"decision": "Approved", "by": "bob"})
    shop.complete([name for number, name in enumerate(names) if number % 5 != 2])
    assert {shop.phases()[name] for number, name in enumerate(names) if number % 5 == 2} == {"Cancelled"}
    # What was charged before lies in the books of a provider that went with its pod.
    shop.nothing_is_lost_or_twice([name for number, name in enumerate(names) if number % 5 in {1, 3, 4}] + another)


def test_a_rollback_keeps_the_workers_that_the_ledger_needs_and_orders_go_on_under_the_earlier_operator(
    previous: Installation,
) -> None:
    a_class_that_asks_somebody(previous)
    kept = {"cluster": "default"}
    previous.upgrade_to_this_release(kept)
    previous.becomes_whole()
    shop = Shop(previous, "shop")
    names = shop.place(2, of=REVIEWED)
    previous.until(lambda: set(shop.phases().values()) == {"Waiting"}, "all orders waiting")
    [worker] = [pod["metadata"]["name"] for pod in previous.pods("worker")]

    with pytest.raises(CommandFailed):
        previous.roll_back(ROLLBACK_SECONDS)

    previous.until(lambda: images(previous, "operator") == {TAG}, "operators of the earlier release alone")
    assert {pod["metadata"]["name"]: ready(pod) for pod in previous.pods("worker")}[worker]
    shop.patch(names[0], approval={"decision": "Approved", "by": "bob"})
    shop.complete(names[:1])
    assert shop.phases()[names[1]] == "Waiting"

    previous.upgrade_to_this_release(kept)
    previous.becomes_whole()
    shop.patch(names[1], approval={"decision": "Approved", "by": "bob"})
    shop.complete(names)
    shop.nothing_is_lost_or_twice(names)


def images(platform: Installation, component: str) -> set[str]:
    """Tags of the pods' images."""
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in platform.pods(component)}


def ready(pod: dict[str, Any]) -> bool:
    """Whether the pod serves."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
