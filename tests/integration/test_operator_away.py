"""The operator, or etcd, is away for a while, and the world goes on meanwhile."""

import signal
import time

import pytest
from cluster import Cluster
from order_history import OrderHistory
from traffic import DEAR, PLAIN, Traffic, nothing_wrong
from wiring import Wiring

pytestmark = pytest.mark.long

FREEZE_SECONDS = 15
"""Longer than the leader's deadline."""
BUSY_SECONDS = 180.0
"""For dozens of orders at once and one worker."""


def test_thirty_new_ten_edited_and_six_deleted_orders_are_caught_up(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    edited, dropped = [f"edited-{number}" for number in range(10)], [f"dropped-{number}" for number in range(6)]
    for name in (*edited, *dropped):
        shop.apply(name, total=DEAR)
    for name in (*edited, *dropped):
        shop.reaches("Waiting", name)
    wired.stack.kill("operator")
    made = [f"made-{number}" for number in range(30)]
    for name in made:
        shop.apply(name, total=PLAIN)
    for quantity in (2, 3):
        line = {"lineID": "1", "sku": "PROD-001", "quantity": quantity, "unitPriceMinor": DEAR}
        for name in edited:
            shop.patch(name, lines=[line])
    for name in dropped:
        shop.delete(name, "--wait=false")

    wired.stack.start("operator")

    for name in made:
        shop.eventually(lambda status: status.get("phase") == "Completed", name, BUSY_SECONDS)
    for name in dropped:
        shop.eventually(lambda _, name=name: shop.order(name) == {}, name)  # type: ignore[misc]
    for name in edited:
        status = shop.eventually(lambda status: status["observedGeneration"] == 3, name)
        assert (status["phase"], status["totalMinor"]) == ("Waiting", 3 * DEAR)
    nothing_wrong(shop, history, {**dict.fromkeys(made, PLAIN), **dict.fromkeys((*edited, *dropped), 0)})


def test_one_operator_after_the_other_takes_over_and_each_ends_within_ten_seconds(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    names = []
    for generation in range(4):
        names += [f"order-{generation}-{number}" for number in range(5)]
        for name in names[-5:]:
            shop.apply(name, className="standard")
        began = time.monotonic()
        wired.stack.stop("operator")
        assert time.monotonic() - began < 10
        wired.stack.start("operator")

    for name in names:
        shop.eventually(lambda status: status.get("phase") == "Completed", name, BUSY_SECONDS)
    nothing_wrong(shop, history, dict.fromkeys(names, PLAIN))


def test_a_frozen_etcd_is_waited_for(wired: Wiring, shop: Cluster, history: OrderHistory) -> None:
    traffic = Traffic(shop, history)
    traffic.before()
    with wired.kubelet():
        wired.stack.kill("etcd", signal.SIGSTOP)
        try:
            time.sleep(FREEZE_SECONDS)  # how long it lasts is the fault
        finally:
            wired.stack.kill("etcd", signal.SIGCONT)

        shop.until(lambda: shop.status("left").get("phase") == "Waiting")
        traffic.during()
        traffic.after()
