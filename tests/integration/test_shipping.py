"""Orders of classes that ship by child workflows or by Nexus, on the whole platform."""

import json
from typing import Any

import pytest
from cluster import Cluster

from order_domain.policy import ShippingMode
from order_domain.status import OrderStatus

MODES = list(ShippingMode)
WORKERS = {ShippingMode.CHILD_WORKFLOWS: "shipping-worker", ShippingMode.NEXUS: "nexus-worker"}
"""Who carries the shipments of each mode that has workers of its own."""


def a_class(cluster: Cluster, mode: ShippingMode) -> str:
    """An OrderClass with this mode, all else by default; returns its name."""
    name = f"by-{mode.lower()}"
    pipeline = ["Receive", "Validate", "ReserveStock", "ChargePayment", "Ship"]
    cluster.create(
        {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "OrderClass",
            "metadata": {"name": name},
            "spec": {"pipeline": pipeline, "shipping": {"mode": mode}},
        }
    )
    return name


def two_lines() -> list[dict[str, Any]]:
    return [{"lineID": line_id, "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 100} for line_id in ("1", "2")]


@pytest.mark.parametrize("mode", MODES)
def test_an_order_ships_in_every_mode(cluster: Cluster, mode: ShippingMode) -> None:
    cluster.apply(className=a_class(cluster, mode), lines=two_lines())

    status = cluster.reaches("Completed")

    assert [shipment["lineID"] for shipment in status["shipments"]] == ["1", "2"]
    assert all(shipment["trackingNumber"] for shipment in status["shipments"])
    assert list(cluster.charges().values()) == [(200, 0)]


@pytest.mark.parametrize("mode", WORKERS)
def test_without_its_shipping_workers_an_order_waits_and_others_do_not(cluster: Cluster, mode: ShippingMode) -> None:
    cluster.stack.stop(WORKERS[mode])
    cluster.apply("waits", className=a_class(cluster, mode))
    cluster.eventually(lambda status: status.get("orderStatus") == OrderStatus.SHIP_ORDER, "waits")
    cluster.apply("goes", className="standard")
    cluster.reaches("Completed", "goes")
    assert cluster.status("waits")["orderStatus"] == OrderStatus.SHIP_ORDER

    cluster.stack.start(WORKERS[mode])

    cluster.reaches("Completed", "waits")


@pytest.mark.parametrize("mode", WORKERS)
def test_an_order_whose_shipping_workers_are_away_can_be_deleted(cluster: Cluster, mode: ShippingMode) -> None:
    cluster.stack.stop(WORKERS[mode])
    cluster.apply(className=a_class(cluster, mode))
    cluster.eventually(lambda status: status.get("orderStatus") == OrderStatus.SHIP_ORDER)
    cluster.until_held()

    cluster.delete("order")

    assert list(cluster.charges().values()) == [(50_000, 50_000)]


def test_the_nexus_endpoint_is_made_once(cluster: Cluster) -> None:
    cluster.stack.stop("nexus-worker")
    cluster.stack.start("nexus-worker")

    listed = json.loads(cluster.stack.temporal("operator", "nexus", "endpoint", "list", "--output=json"))
    assert [endpoint["spec"]["name"] for endpoint in listed] == ["shipping-endpoint"]
