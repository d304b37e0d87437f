"""Pods that come and go on purpose while orders are under way."""

from collections.abc import Iterator
from typing import Any

import pytest
from cluster_shop import Shop
from installation import OPERATOR, WORKER, Installation

pytestmark = pytest.mark.cluster


@pytest.fixture
def autoscaled(platform: Installation) -> Iterator[dict[str, Any]]:
    """Values that give the workers a HorizontalPodAutoscaler, which keeps two whatever they do."""
    values = {"workers": {"orders": {"autoscaling": {"mode": "hpa", "minReplicas": 2, "maxReplicas": 2}}}}
    platform.upgrade(values)
    yield values
    platform.take_over()


def workers(replicas: int) -> dict[str, object]:
    return {"workers": {"orders": {"replicas": replicas}}}


def test_workers_are_scaled_up_and_down_while_orders_run(platform: Installation, shop: Shop) -> None:
    orders = shop.place(40, prefix="before")
    shop.are_under_way()

    platform.upgrade(workers(3))
    assert platform.ready("worker") == 3
    orders += shop.place(40, prefix="meanwhile")
    shop.are_under_way()
    platform.upgrade(workers(1))
    platform.until(lambda: platform.ready("worker") == 1, "one worker")

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)


def test_a_rollout_of_worker_and_operator_loses_no_order(platform: Installation, shop: Shop) -> None:
    orders = shop.place(30, prefix="before")
    shop.are_under_way()

    platform.kubectl("rollout", "restart", f"deployment/{WORKER}")
    orders += shop.place(10, prefix="meanwhile")
    platform.kubectl("rollout", "status", f"deployment/{WORKER}", "--timeout=120s")
    orders += shop.place(10, prefix="after")
    shop.are_under_way()
    platform.kubectl("rollout", "restart", f"deployment/{OPERATOR}")
    orders += shop.place(10, prefix="late")
    platform.kubectl("rollout", "status", f"deployment/{OPERATOR}", "--timeout=120s")

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)


def test_an_upgrade_leaves_the_number_of_pods_to_an_autoscaler(
    platform: Installation, autoscaled: dict[str, Any]
) -> None:
    platform.until(lambda: platform.ready("worker") == 2, "as many workers as the autoscaler wants")

    platform.upgrade({**autoscaled, "worker": {"gracefulShutdownSeconds": 20}})

    platform.becomes_whole()
    assert platform.ready("worker") == 2


def test_an_upgrade_that_never_becomes_ready_leaves_the_old_pods_at_work(platform: Installation, shop: Shop) -> None:
    broken = {"worker": {"image": {"tag": "no-such-tag"}}}
    before = {pod["metadata"]["name"] for pod in platform.pods("worker")}
    platform.upgrade_without_waiting(broken)
    try:
        platform.until(lambda: len(platform.pods("worker")) > len(before), "the broken pod")
        orders = shop.place(5)
        shop.complete(orders)
    finally:
        platform.roll_back()

    platform.becomes_whole()
    assert {pod["metadata"]["name"] for pod in platform.pods("worker")} == before
    shop.nothing_is_lost_or_twice(orders)
