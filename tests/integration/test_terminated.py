"""Somebody terminates an order's workflow: the order comes to an end all the same."""

from typing import Any

import pytest
from cluster import Cluster, condition

SCAN_SECONDS = 120.0
"""An order without a resource is found by the comparison of all orders with all workflows, once a minute."""


def charge(cluster: Cluster, **policy: Any) -> str:
    """Workflow id of an order that has been charged and waits for its address to be confirmed."""
    cluster.apply(className=cluster.patient_class(**policy))
    identifier: str = cluster.reaches("Waiting")["workflow"]["id"]
    assert list(cluster.charges().values()) == [(50_000, 0)]
    return identifier


@pytest.fixture
def charged(cluster: Cluster) -> str:
    """The same, of an order that can still be undone."""
    return charge(cluster)


def terminate(cluster: Cluster, identifier: str) -> None:
    cluster.stack.temporal("workflow", "terminate", "--workflow-id", identifier, "--reason", "by mistake")


def refunded(cluster: Cluster) -> bool:
    return set(cluster.charges().values()) == {(50_000, 50_000)}


def test_a_charged_order_is_refunded_and_its_pieces_are_free_again(cluster: Cluster, charged: str) -> None:
    reserved = cluster.stock()["reserved"]

    terminate(cluster, charged)

    status = cluster.reaches("Cancelled")
    assert refunded(cluster)
    assert cluster.stock()["reserved"] == reserved - 1
    assert status["payment"]["refundedMinor"] == 50_000
    assert "no flaws" in cluster.audit()


def test_the_status_says_what_happened(cluster: Cluster, charged: str) -> None:
    first_run = cluster.status()["workflow"]["runID"]

    terminate(cluster, charged)

    status = cluster.reaches("Cancelled")
    assert status["lastError"]["type"] == "WorkflowTerminated"
    assert condition(status, "Compensated")["status"] == "True"
    assert condition(status, "Charged")["reason"] == "Undone"
    assert condition(status, "Ready")["status"] == "True"
    assert (status["workflow"]["id"], status["workflow"]["runID"] != first_run) == (charged, True)


def test_it_is_undone_when_the_operator_comes_back(cluster: Cluster, charged: str) -> None:
    cluster.stack.kill("operator")
    terminate(cluster, charged)

    cluster.stack.up()

    cluster.reaches("Cancelled")
    assert refunded(cluster)


def test_an_order_that_is_being_deleted_goes_when_it_is_undone(cluster: Cluster, charged: str) -> None:
    cluster.stack.kill("operator")
    terminate(cluster, charged)
    cluster.delete("order", "--wait=false")

    cluster.stack.up()

    cluster.until(lambda: not cluster.order())
    assert refunded(cluster)


def test_an_order_whose_resource_is_gone_is_undone(cluster: Cluster, charged: str) -> None:
    cluster.stack.kill("operator")
    terminate(cluster, charged)
    cluster.lose()

    cluster.stack.up()

    cluster.until(lambda: refunded(cluster), SCAN_SECONDS)


def test_an_order_past_its_pivot_is_carried_on(cluster: Cluster) -> None:
    identifier = charge(cluster, compensation={"pivot": "ChargePayment"})
    first_run = cluster.status()["workflow"]["runID"]

    terminate(cluster, identifier)

    cluster.eventually(lambda status: status["phase"] == "Waiting" and status["workflow"]["runID"] != first_run)
    cluster.patch("order", shippingAddress={"line1": "7 New Street"})
    status = cluster.reaches("Completed")
    assert status["shippingAddress"]["line1"] == "7 New Street"
    assert list(cluster.charges().values()) == [(50_000, 0)]
