"""A server lost its data, or was restored to what it held before: what was charged is known, and not charged again."""

import contextlib
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cluster import Cluster
from order_history import OrderHistory
from traffic import DEAR, PLAIN, RETURN_SECONDS, approve
from wiring import Wiring

pytestmark = pytest.mark.long


class _Backup:
    """What the data of servers were at a moment. Taken cold: what writes them is stopped meanwhile, and first."""

    def __init__(self, wired: Wiring, files: tuple[str, ...], programs: tuple[str, ...], folder: Path) -> None:
        self._wired, self._files, self._programs, self._folder = wired, files, programs, folder
        wired.stack.stop(*programs)
        for path in self._of(self._data):
            shutil.copy2(path, folder)
        wired.stack.start(*programs)

    def restore(self) -> None:
        self._wired.stack.stop(*self._programs)
        for path in self._of(self._data):
            path.unlink()
        for path in self._of(self._folder):
            shutil.copy2(path, self._data)
        self._wired.stack.start(*self._programs)

    def _of(self, folder: Path) -> list[Path]:
        return [path for file in self._files for path in folder.glob(f"{file}*")]

    @property
    def _data(self) -> Path:
        return self._wired.stack.root / "data"


def _running(shop: Cluster, workflow_id: str) -> bool:
    described = shop.workflow(workflow_id)
    return bool(described["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_RUNNING")


def _let_a_quarter_of_an_hour_pass(wired: Wiring) -> None:
    """For charges of the payment provider; `reconcile` leaves younger ones for the next time."""
    with contextlib.closing(sqlite3.connect(wired.stack.root / "data" / "providers.db")) as store, store:
        for key, at in store.execute("SELECT key, at FROM charges").fetchall():
            earlier = datetime.fromisoformat(at) - timedelta(minutes=16)
            store.execute("UPDATE charges SET at = ? WHERE key = ?", (earlier.isoformat(), key))


def _refund_by_hand(wired: Wiring, uid: str) -> None:
    """At the payment provider, by its own page."""
    with contextlib.closing(sqlite3.connect(wired.stack.root / "data" / "providers.db")) as store, store:
        [(key, amount, currency, at)] = store.execute(
            "SELECT key, amount_minor, currency, at FROM charges WHERE key LIKE ?", (f"{uid}/%",)
        ).fetchall()
        store.execute(
            "INSERT INTO refunds (key, charge_key, amount_minor, currency, refund_id, at) VALUES (?, ?, ?, ?, ?, ?)",
            (f"{key}/by-hand", key, amount, currency, "by-hand", at),
        )


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


def test_a_temporal_that_was_restored_walks_on_to_the_same_end(
    wired: Wiring, shop: Cluster, history: OrderHistory, tmp_path: Path
) -> None:
    for name in ("approved", "undone"):
        shop.apply(name, total=DEAR)
        shop.reaches("Waiting", name)
    histories = _Backup(wired, ("temporal.db",), ("temporal", "worker", "operator"), tmp_path)
    approve(shop, "approved")
    shop.patch("undone", cancellation={"reason": "changed my mind"})
    shop.apply("since", total=PLAIN)
    for name, phase in {"approved": "Completed", "undone": "Cancelled", "since": "Completed"}.items():
        shop.eventually(lambda status, phase=phase: status.get("phase") == phase, name, RETURN_SECONDS)
    uids = {name: versions[0]["metadata"]["uid"] for name, versions in history.versions().items()}
    before = shop.charges_of(uids.values())

    histories.restore()

    shop.apply("new", total=PLAIN)
    shop.eventually(lambda status: status.get("phase") == "Completed", "new", RETURN_SECONDS)
    for name in ("approved", "undone"):
        shop.until(lambda name=name: not _running(shop, f"order/{shop.namespace}/{name}/{uids[name]}"), RETURN_SECONDS)
    assert {name: shop.status(name)["phase"] for name in uids} == {
        "approved": "Completed",
        "undone": "Cancelled",
        "since": "Completed",
    }
    assert shop.charges_of(uids.values()) == before
    assert "no flaws" in shop.audit()


def test_what_a_restored_ledger_misses_is_charged_to_nobody_again_and_found(
    wired: Wiring, shop: Cluster, history: OrderHistory, tmp_path: Path
) -> None:
    for name in ("approved", "left"):
        shop.apply(name, total=DEAR)
        shop.reaches("Waiting", name)
    ledger = _Backup(wired, ("ledger.db",), ("worker",), tmp_path)
    approve(shop, "approved")
    shop.apply("since", total=PLAIN)
    for name in ("approved", "since"):
        shop.eventually(lambda status: status.get("phase") == "Completed", name, RETURN_SECONDS)
    uids = {name: versions[0]["metadata"]["uid"] for name, versions in history.versions().items()}
    before = shop.charges_of(uids.values())

    ledger.restore()

    approve(shop, "left")
    shop.eventually(lambda status: status.get("phase") == "Completed", "left", RETURN_SECONDS)
    assert shop.charges_of(uids.values()) == {**before, uids["left"]: (DEAR, 0)}
    _let_a_quarter_of_an_hour_pass(wired)
    found = shop.reconcile()
    assert uids["approved"] in found, found
    assert uids["since"] in found, found
    assert uids["left"] not in found, found
    assert history.flaws() == []


def test_an_order_that_temporal_and_the_ledger_lost_is_applied_again_once_its_workflow_is_deleted(
    wired: Wiring, shop: Cluster, tmp_path: Path
) -> None:
    """The way out that docs/backup.md tells."""
    patient = shop.patient_class()
    both = _Backup(wired, ("temporal.db", "ledger.db"), ("temporal", "worker", "operator"), tmp_path)
    shop.apply("paid", className=patient, total=PLAIN)
    shop.reaches("Waiting", "paid")
    first = shop.order("paid")["metadata"]["uid"]

    both.restore()

    review = shop.eventually(lambda status: status.get("phase") == "ManualReview", "paid", RETURN_SECONDS)
    assert f"{PLAIN} captured as {review['payment']['transactionID']}" in review["message"]
    _refund_by_hand(wired, first)
    shop.apply("other", total=DEAR)  # while orders are live, the operator looks for news twice a second
    shop.reaches("Waiting", "other")
    shop.patch("paid", deletionPolicy="Orphan")
    shop.delete("paid")
    wired.stack.temporal("workflow", "delete", "--yes", "--workflow-id", review["workflow"]["id"])
    shop.apply("paid", total=PLAIN)

    status = shop.eventually(lambda status: status.get("phase") == "Completed", "paid", RETURN_SECONDS)
    second = shop.order("paid")["metadata"]["uid"]
    assert status["payment"]["capturedMinor"] == PLAIN
    assert shop.charges_of([first, second]) == {first: (PLAIN, PLAIN), second: (PLAIN, 0)}
    left = [f"order/{shop.namespace}/paid/{second}", review["workflow"]["id"]]
    shop.until(lambda: left[1] not in shop.workflows(), RETURN_SECONDS)
    assert left[0] in shop.workflows()


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
