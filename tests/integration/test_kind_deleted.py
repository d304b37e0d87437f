"""Somebody deletes the kind of the orders, and installs it again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import ORDERS, Cluster

from order_devstack.stack import Stack

pytestmark = pytest.mark.long

MANIFEST = Path(__file__).resolve().parents[2] / "manifests" / "crds" / "orders.yaml"
STUCK_SECONDS = 120.0
"""A finalizer that stays longer, while Temporal and a worker answer, is stuck."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Cluster]:
    """On a platform of its own: every order of it is lost."""
    stack = Stack(tmp_path / "stack", ui=False)
    try:
        stack.up()
        yield Cluster(stack, "shop")
    finally:
        stack.clean()


def test_open_orders_whose_kind_is_deleted_are_undone_and_those_after_its_return_carried_out(shop: Cluster) -> None:
    shop.apply("waits", total=150_000)
    shop.apply("charged", className=shop.patient_class())
    for name in ("waits", "charged"):
        shop.reaches("Waiting", name)
    open_before = shop.workflows()

    shop.stack.kubectl("delete", "crd", ORDERS, "--wait=false")

    shop.until(lambda: ORDERS not in shop.stack.kubectl("get", "crds", "--output=name"), seconds=STUCK_SECONDS)
    ended = [shop.workflow(identifier)["workflowExecutionInfo"]["status"] for identifier in open_before]
    assert {status.rpartition("_")[2] for status in ended} == {"COMPLETED"}
    assert sorted(shop.charges().values()) == [(0, 0), (50_000, 50_000)]

    shop.stack.kubectl("create", "--filename", str(MANIFEST))
    shop.stack.kubectl("wait", "--for=condition=Established", f"crd/{ORDERS}")
    shop.apply("after")
    shop.eventually(lambda status: status.get("phase") == "Completed", "after", seconds=STUCK_SECONDS)
