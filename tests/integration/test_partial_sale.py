"""A parcel that the carrier cannot call back is sold: the rest is undone, and the difference given back."""

import json
import sqlite3
from contextlib import closing
from typing import Any

from cluster import Cluster, condition

LINES = [
    {"lineID": "1", "sku": "PROD-001", "quantity": 2, "unitPriceMinor": 5_000},
    {"lineID": "2", "sku": "PROD-002", "quantity": 3, "unitPriceMinor": 6_000},
    {"lineID": "3", "sku": "PROD-002", "quantity": 1, "unitPriceMinor": 2_000},
]
CHARGES = [
    {"chargeID": "shipping", "kind": "Shipping", "amountMinor": 500},
    {"chargeID": "welcome", "kind": "Discount", "amountMinor": -300},
]
TOTAL = 30_200
SOLD = 10_400
"""Line 1, the shipping as charged, and a third of the discount."""
DELIVERED_AT_ONCE = {
    "name": "Ana Torres",
    "line1": "1 Main Street",
    "city": "Springfield",
    "postalCode": "99999",
    "country": "US",
}
PAUSE_SECONDS = 600


def ship(cluster: Cluster, **spec: Any) -> None:
    """An order that has shipped, and can still be cancelled, since its class has a late pivot."""
    name = f"late-pivot-{cluster.namespace}"
    cluster.create(
        {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "OrderClass",
            "metadata": {"name": name},
            "spec": {
                "pipeline": [
                    "Receive",
                    "Validate",
                    "ReserveStock",
                    "PrepareShipment",
                    "ChargePayment",
                    "Ship",
                    "UpdateOrderStatus",
                    "Notify",
                ],
                "compensation": {"pivot": "UpdateOrderStatus"},
                "simulation": {"steps": {"UpdateOrderStatus": {"pauseBeforeSeconds": PAUSE_SECONDS}}},
            },
        }
    )
    cluster.apply(className=name, **spec)
    cluster.eventually(lambda status: condition(status, "Shipped").get("status") == "True")


def deliver(cluster: Cluster, line_id: str) -> None:
    """As the carrier would note it: from here on this parcel cannot be called back."""
    uid = cluster.order()["metadata"]["uid"]
    with closing(sqlite3.connect(cluster.stack.root / "data" / "providers.db", timeout=30)) as store, store:
        changed = store.execute(
            "UPDATE shipments SET delivered_at = at WHERE key LIKE ?", (f"{uid}/ship/{line_id}%",)
        ).rowcount
    assert changed == 1


def units(cluster: Cluster, sku: str) -> tuple[int, int, int]:
    stock = cluster.stock(sku)
    return stock["on_hand"], stock["reserved"], stock["sold"]


def test_the_lines_whose_parcels_come_back_are_undone_and_the_others_are_sold(cluster: Cluster) -> None:
    first, second = units(cluster, "PROD-001"), units(cluster, "PROD-002")
    ship(cluster, lines=LINES, charges=CHARGES)
    assert list(cluster.charges().values()) == [(TOTAL, 0)]
    deliver(cluster, "1")

    cluster.patch("order", cancellation={"by": "ana", "reason": "changed my mind"})

    status = cluster.reaches("Completed")
    for kind in ("Finished", "Complete"):
        assert (condition(status, kind)["status"], condition(status, kind)["reason"]) == ("True", "CancelledInPart")
    assert "line 1 was shipped" in condition(status, "Complete")["message"]
    assert (status["totalMinor"], status["total"]) == (SOLD, "104.00 USD")
    assert (status["payment"]["capturedMinor"], status["payment"]["refundedMinor"]) == (TOTAL, TOTAL - SOLD)
    assert {item["lineID"]: item["state"] for item in status["shipments"]} == {
        "1": "Dispatched",
        "2": "Cancelled",
        "3": "Cancelled",
    }
    assert list(cluster.charges().values()) == [(TOTAL, TOTAL - SOLD)]
    assert units(cluster, "PROD-001") == (first[0] - 2, first[1], first[2] + 2)
    assert units(cluster, "PROD-002") == second
    assert "no flaws" in cluster.audit()


def test_the_mail_states_what_was_sold_and_what_is_given_back(cluster: Cluster) -> None:
    ship(cluster, lines=LINES, charges=CHARGES)
    deliver(cluster, "1")

    cluster.patch("order", cancellation={"by": "ana"})

    cluster.reaches("Completed")
    uid = cluster.order()["metadata"]["uid"]
    with closing(sqlite3.connect(cluster.stack.root / "data" / "providers.db")) as store:
        mails = store.execute("SELECT subject, body FROM mails WHERE key LIKE ?", (f"{uid}%",)).fetchall()
    assert len(mails) == 1
    text = json.dumps(mails)
    assert "198.00 USD" in text


def test_an_order_whose_every_parcel_is_too_far_stays_as_it_is(cluster: Cluster) -> None:
    ship(cluster, shippingAddress=DELIVERED_AT_ONCE)

    cluster.patch("order", cancellation={"by": "ana"})

    status = cluster.reaches("Completed")
    assert condition(status, "Complete")["reason"] == "AlreadyShipped"
    assert condition(status, "SpecApplied")["status"] == "True"
    assert status["totalMinor"] == 50_000
    assert list(cluster.charges().values()) == [(50_000, 0)]


def test_a_deleted_order_whose_carrier_is_too_late_lets_go_of_its_resource(cluster: Cluster) -> None:
    sold = cluster.stock()["sold"]
    ship(cluster, shippingAddress=DELIVERED_AT_ONCE)
    identifier = cluster.status()["workflow"]["id"]
    cluster.until_held()

    cluster.delete("order")

    assert cluster.order() == {}
    assert "Order Completed" in str(cluster.workflow(identifier))
    assert list(cluster.charges().values()) == [(50_000, 0)]
    assert cluster.stock()["sold"] == sold + 1
