"""Two operators at once, though only one should act: nothing happens twice."""

import os
import signal
from pathlib import Path

import pytest
from cluster import Cluster
from order_history import OrderHistory
from traffic import DEAR, PLAIN, Traffic, approve, nothing_wrong
from wiring import Wiring, second_operator

pytestmark = pytest.mark.long

WRITES_OF_ONE = 7
"""Versions of an order that waited and was approved: made, held, waiting, edited, running, let go, completed."""


def test_two_operators_that_both_lead_start_and_charge_nothing_twice(
    wired: Wiring, shop: Cluster, history: OrderHistory, tmp_path: Path
) -> None:
    with second_operator(wired.stack, tmp_path, wired.stack.kubeconfig, ORDER_OPERATOR_LEASE_NAME="another"):
        shop.apply("dear", total=DEAR)
        for number in range(8):
            shop.apply(f"plain-{number}", total=PLAIN)
        shop.reaches("Waiting", "dear")
        approve(shop, "dear")

        plain = [f"plain-{number}" for number in range(8)]
        for name in ["dear", *plain]:
            shop.reaches("Completed", name)
    nothing_wrong(shop, history, {"dear": DEAR, **dict.fromkeys(plain, PLAIN)})
    assert len(history.versions()["dear"]) <= 2 * WRITES_OF_ONE


def test_a_leader_that_was_frozen_while_another_took_over_writes_nothing_when_it_wakes(
    wired: Wiring, shop: Cluster, history: OrderHistory, tmp_path: Path
) -> None:
    traffic, frozen = Traffic(shop, history), wired.stack.pid("operator")
    assert frozen is not None
    traffic.before()
    os.kill(frozen, signal.SIGSTOP)
    try:
        with second_operator(wired.stack, tmp_path, wired.stack.root / "operator.kubeconfig"):
            traffic.during()
            shop.reaches("Completed", "made")
            shop.apply("unseen", total=PLAIN)
            asked = len(wired.api.requests)

            os.kill(frozen, signal.SIGCONT)

            shop.until(lambda: wired.stack.pid("operator") is None)  # it has seen that it does not lead
            traffic.after({"unseen": PLAIN})
    finally:
        if wired.stack.pid("operator") == frozen:
            os.kill(frozen, signal.SIGCONT)
    late = [request for request in wired.api.requests[asked:] if request.method != "GET"]
    assert [request.path for request in late if "/leases/" not in request.path] == []
    assert {request.status for request in late} <= {409}
