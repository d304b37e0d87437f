"""What cannot be undone waits for a person, and goes on when its cause is repaired and another attempt is asked for."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cluster import ORDERS, Cluster, condition
from pages import ROOT, Reader, blocks

from order_devstack.stack import Stack

RUNBOOK = ROOT / "docs/runbooks/manual-review.md"


class ForgetfulProvider:
    """The simulated payment provider, whose records of charges can be taken away and given back."""

    def __init__(self, stack: Stack) -> None:
        self._path = stack.root / "data" / "providers.db"
        self._forgotten: list[tuple[Any, ...]] = []

    def forget(self, uid: str) -> None:
        with closing(sqlite3.connect(self._path, timeout=30)) as store, store:
            found = store.execute("SELECT * FROM charges WHERE key LIKE ?", (f"{uid}%",)).fetchall()
            assert len(found) == 1
            self._forgotten += found
            store.execute("DELETE FROM charges WHERE key LIKE ?", (f"{uid}%",))

    def remember(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=30)) as store, store:
            for row in self._forgotten:
                places = ", ".join("?" * len(row))
                store.execute(f"INSERT INTO charges VALUES ({places})", row)  # noqa: S608 - question marks only
        self._forgotten = []


@pytest.fixture
def provider(cluster: Cluster) -> ForgetfulProvider:
    """As yet it has forgotten nothing."""
    return ForgetfulProvider(cluster.stack)


def into_review(cluster: Cluster, provider: ForgetfulProvider, *names: str) -> None:
    """Orders that were charged and cannot be refunded, as the provider says that it never charged."""
    class_name = cluster.patient_class()
    for name in names:
        cluster.apply(name, className=class_name)
    for name in names:
        cluster.reaches("Waiting", name)
        provider.forget(cluster.order(name)["metadata"]["uid"])
        cluster.patch(name, cancellation={"by": "ana"})
    for name in names:
        cluster.reaches("ManualReview", name)


def refunded(cluster: Cluster) -> bool:
    return set(cluster.charges().values()) == {(50_000, 50_000)}


def tried(cluster: Cluster, name: str) -> int:
    """How often the order came into Manual Review, by the timers that it has started there."""
    identifier = cluster.status(name)["workflow"]["id"]
    history = cluster.stack.temporal("workflow", "show", "--workflow-id", identifier, "--output", "json")
    return history.count("EVENT_TYPE_TIMER_STARTED")


def commands() -> tuple[str, str]:
    """Of the runbook: for one order, and for many."""
    *_, one, many = blocks(RUNBOOK.read_text())
    return one, many


def test_an_order_whose_provider_forgot_the_charge_waits_and_says_what_each_side_knows(
    cluster: Cluster, provider: ForgetfulProvider
) -> None:
    reserved = cluster.stock()["reserved"]
    into_review(cluster, provider, "order")

    status = cluster.status()

    assert condition(status, "Stalled")["status"] == "True"
    assert condition(status, "CompensationFailed")["status"] == "True"
    assert status["payment"]["transactionID"] in condition(status, "CompensationFailed")["message"]
    assert "spec.retry" in status["pendingAction"]["message"]
    assert cluster.stock()["reserved"] == reserved  # what could be undone is undone


def test_raising_retry_by_one_gets_an_order_out_of_manual_review(
    cluster: Cluster, provider: ForgetfulProvider, tmp_path: Path
) -> None:
    into_review(cluster, provider, "order")
    provider.remember()

    one, _ = commands()
    Reader(cluster.stack, tmp_path, cluster.namespace).run(one.replace("NAME", "order"))

    status = cluster.reaches("Cancelled")
    assert refunded(cluster)
    assert status["payment"]["refundedMinor"] == 50_000
    assert condition(status, "CompensationFailed")["status"] == "False"
    assert "no flaws" in cluster.audit()


def test_each_number_of_retry_asks_once(cluster: Cluster, provider: ForgetfulProvider) -> None:
    into_review(cluster, provider, "order")
    cluster.patch("order", retry=1)
    cluster.eventually(lambda status: status["observedGeneration"] == cluster.order()["metadata"]["generation"])
    cluster.reaches("ManualReview")
    provider.remember()

    cluster.patch("order", retry=2)

    cluster.reaches("Cancelled")
    assert refunded(cluster)


def test_many_orders_are_tried_again_by_a_label(cluster: Cluster, provider: ForgetfulProvider, tmp_path: Path) -> None:
    names = ["first", "second", "third"]
    into_review(cluster, provider, *names)
    before = tried(cluster, "third")
    cluster.patch("third", retry=1)
    cluster.until(lambda: tried(cluster, "third") > before)
    cluster.eventually(lambda status: (status["observedGeneration"], status["phase"]) == (3, "ManualReview"), "third")
    provider.remember()

    _, many = commands()
    Reader(cluster.stack, tmp_path, cluster.namespace).run(many)

    for name in names:
        cluster.reaches("Cancelled", name)
    assert refunded(cluster)
    asked = cluster.kubectl("get", ORDERS, "--output=jsonpath={.items[*].spec.retry}").split()
    assert sorted(asked) == ["1", "1", "2"]
