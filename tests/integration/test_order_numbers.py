"""Which order has a number, and when the number is free again."""

import os
import signal

import pytest
from cluster import Cluster

from order_operator.cluster.conditions import Reason

DECLINED = {"method": "tok_chargeDeclined"}


def test_a_declined_order_that_is_deleted_can_be_applied_again_under_its_number(cluster: Cluster) -> None:
    cluster.apply(orderID="AGAIN-1", payment=DECLINED)
    cluster.reaches("Failed")
    cluster.delete("order")

    cluster.apply(orderID="AGAIN-1")

    cluster.reaches("Completed")
    assert sorted(cluster.charges().values()) == [(0, 0), (50_000, 0)]


def test_a_corrected_order_that_follows_at_once_begins_after_the_first_is_undone(cluster: Cluster) -> None:
    slow = {"steps": {"ChargePayment": {"pauseBeforeSeconds": 60}}}
    cluster.apply(className=cluster.patient_class(simulation=slow))
    cluster.until(lambda: bool(cluster.audit_of("order")))
    worker = cluster.stack.pid("worker")
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    try:
        # As if it was younger than five seconds, however slow this machine is.
        cluster.lose()
        cluster.apply(total=60_000)
        cluster.until(lambda: cluster.condition("Ready").get("reason") == Reason.PREDECESSOR_ENDING)
    finally:
        os.kill(worker, signal.SIGCONT)

    cluster.reaches("Completed")
    assert sorted(cluster.charges().values()) == [(0, 0), (60_000, 0)]


def test_the_number_of_a_cancelled_order_is_free_for_an_order_of_another_name(cluster: Cluster) -> None:
    cluster.apply("first", total=150_000, orderID="AGAIN-2")
    cluster.reaches("Waiting", "first")
    cluster.patch("first", cancellation={"by": "ana"})
    cluster.reaches("Cancelled", "first")

    cluster.apply("second", orderID="AGAIN-2")

    cluster.reaches("Completed", "second")


def test_a_duplicate_does_not_take_the_number_along_when_it_is_deleted(cluster: Cluster) -> None:
    cluster.apply("first", orderID="AGAIN-3")
    cluster.reaches("Completed", "first")
    cluster.apply("second", orderID="AGAIN-3")
    cluster.reaches("Duplicate", "second")
    cluster.delete("second")

    cluster.apply("second", orderID="AGAIN-3")

    cluster.reaches("Duplicate", "second")


@pytest.mark.parametrize(
    ("total", "phase", "stands"), [(50_000, "Completed", "Completed"), (150_000, "Waiting", "under way")]
)
def test_a_duplicate_says_which_order_has_the_number_how_it_stands_and_what_to_do(
    total: int, phase: str, stands: str, cluster: Cluster
) -> None:
    cluster.apply("first", orderID="NUMBER-1", total=total)
    cluster.reaches(phase, "first")

    cluster.apply("second", orderID="NUMBER-1")

    error = cluster.reaches("Duplicate", "second")["lastError"]
    assert error["type"] == "DuplicateOrder"
    assert "NUMBER-1" in error["message"]
    assert f"{cluster.namespace}/first, which is {stands}" in error["message"]
    assert "choose another spec.orderID" in error["message"]
