"""A server lost its data, or was restored to what it held before: what was charged is known, and not charged again."""

import shutil
from pathlib import Path

import pytest
from cluster import Cluster
from order_history import OrderHistory
from traffic import DEAR, PLAIN, RETURN_SECONDS, approve
from wiring import Wiring

pytestmark = pytest.mark.long


def test_an_etcd_that_was_restored_brings_back_no_charge_and_no_order(
    wired: Wiring, shop: Cluster, tmp_path: Path
) -> None:
    for name in ("paid", "dropped"):
        shop.apply(name, total=DEAR)
    for name in ("paid", "dropped"):
        shop.reaches("Waiting", name)
    data, backup = wired.stack.root / "data" / "etcd", tmp_path / "etcd"
    cluster = ("etcd", "kube-apiserver", "operator")
    wired.stack.stop(*cluster)
    shutil.copytree(data, backup)
    wired.stack.start(*cluster)
    approve(shop, "paid")
    shop.eventually(lambda status: status.get("phase") == "Completed", "paid", RETURN_SECONDS)
    shop.delete("dropped")
    before = shop.charges()

    wired.stack.stop(*cluster)
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    wired.stack.start("etcd", "kube-apiserver")
    assert shop.order("paid")["spec"].get("approval") is None
    assert shop.status("dropped")["phase"] == "Waiting"
    wired.stack.start("operator")

    status = shop.eventually(lambda status: status.get("phase") == "Completed", "paid", RETURN_SECONDS)
    assert status["payment"]["capturedMinor"] == DEAR
    shop.eventually(lambda status: status.get("phase") == "Cancelled", "dropped", RETURN_SECONDS)
    assert sorted(before.values()) == [(0, 0), (DEAR, 0)]
    assert shop.charges() == before
    assert len(shop.workflows()) == 2


def test_orders_whose_every_history_is_lost_are_not_charged_again(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    shop.apply("paid", total=PLAIN)
    shop.apply("waiting", total=DEAR)
    shop.reaches("Completed", "paid")
    shop.reaches("Waiting", "waiting")

    wired.stack.stop("temporal")
    for file in (wired.stack.root / "data").glob("temporal.db*"):
        file.unlink()
    wired.stack.start("temporal", "worker")

    shop.apply("new", total=PLAIN)
    shop.eventually(lambda status: status.get("phase") == "Completed", "new", RETURN_SECONDS)
    approve(shop, "waiting")
    shop.eventually(lambda status: status.get("phase") == "Completed", "waiting", RETURN_SECONDS)
    assert shop.status("paid")["phase"] == "Completed"
    uids = {name: versions[0]["metadata"]["uid"] for name, versions in history.versions().items()}
    charges = shop.charges_of(uids.values())
    assert {name: charges[uid] for name, uid in uids.items()} == {
        "paid": (PLAIN, 0),
        "waiting": (DEAR, 0),
        "new": (PLAIN, 0),
    }
    assert history.flaws() == []


def test_an_order_waits_for_a_namespace_of_temporal_that_comes_later(wired: Wiring, shop: Cluster) -> None:
    wired.stack.kill("operator")
    wired.stack.with_environment({"operator": {"TEMPORAL_NAMESPACE": "later"}}).start("operator")
    try:
        shop.apply()
        shop.until(lambda: shop.condition("Accepted").get("reason") == "TemporalNamespaceNotFound")

        shop.stack.temporal("operator", "namespace", "create", "--namespace", "later")

        shop.eventually(lambda status: status.get("workflow", {}).get("namespace") == "later")
        assert shop.status()["phase"] == "Running"
    finally:
        wired.stack.kill("operator")
