"""Workers by number: a backlog grows, more workers come, it drains, they go, and no order notices."""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cluster_shop import SHIPPED_ELSEWHERE, Shop
from installation import TASK_QUEUE, WORKER, Installation

pytestmark = pytest.mark.cluster

SLOTS = 4
"""Activities of a worker at a time. An order of the slow class holds one for six seconds, so that a worker completes
two orders in three seconds, whatever the machine can do."""
MANY = 24
BUSY_SLOTS, BUSY = 16, 160
"""Slots and orders where the processor is measured: a worker with four slots spends less than half of the tenth of a
processor that it requests, and an autoscaler rightly leaves it alone."""
SCALING_SECONDS = 120.0
"""An autoscaler looks every few seconds, at a metric of ten seconds; the rest is for a busy machine."""
NO_WORKER_SECONDS = 150.0
AT_ONCE = {"scaleUp": {"stabilizationWindowSeconds": 0}, "scaleDown": {"stabilizationWindowSeconds": 5}}
"""Of an autoscaler. A platform in earnest waits five minutes before it takes workers away."""

measured = logging.getLogger("measured").info
"""For docs/scaling.md: `.venv/bin/pytest tests/cluster/test_scaling.py --log-cli-level=INFO` shows it."""


def workers(slots: int = SLOTS, **values: object) -> dict[str, Any]:
    return {"workers": {"orders": {"maxConcurrentActivities": slots, **values}}}


@pytest.fixture
def values(request: pytest.FixtureRequest, platform: Installation) -> Iterator[Mapping[str, Any]]:
    """The platform with the test's values."""
    platform.upgrade(request.param)
    platform.becomes_whole()
    yield request.param
    platform.take_over()


def seconds_to_complete(shop: Shop, orders: list[str]) -> float:
    began = time.monotonic()
    shop.complete(orders)
    return time.monotonic() - began


def no_activity_was_repeated(shop: Shop) -> dict[str, Any]:
    """None was tried twice, and none waited for its time-out."""
    found = shop.attempts()
    assert found["activities"] >= found["workflows"] > 0
    assert (found["activities repeated"], found["activities timed out"]) == (0, 0), str(found)
    return found


def nothing_was_repeated(shop: Shop) -> None:
    """No workflow task either. Not for a burst: a Temporal server that is too busy to write down that a task has begun
    hands it to nobody, and it times out, whatever the workers do."""
    found = no_activity_was_repeated(shop)
    assert found["workflow tasks timed out"] == 0, str(found)


@pytest.mark.parametrize("values", [workers(replicas=None)], indirect=True)
def test_more_workers_drain_a_backlog_sooner_and_leave_no_trace(
    platform: Installation,
    shop: Shop,
    values: Mapping[str, Any],
) -> None:
    alone = shop.place(MANY, prefix="alone")
    platform.until(lambda: platform.waiting_tasks(TASK_QUEUE) > SLOTS, "a backlog")
    seconds_alone = seconds_to_complete(shop, alone)

    platform.scale(WORKER, 3)
    platform.becomes_whole()
    seconds_of_three = seconds_to_complete(shop, together := shop.place(MANY, prefix="together"))
    leaving = shop.place(MANY, prefix="leaving")
    shop.are_under_way(MANY // 2)
    platform.scale(WORKER, 1)
    shop.complete(leaving)

    measured(f"{MANY} orders: one worker {seconds_alone:.0f} s, three {seconds_of_three:.0f} s")
    assert seconds_of_three < seconds_alone  # a third, but where other programs take the processors
    shop.nothing_is_lost_or_twice([*alone, *together, *leaving])
    nothing_was_repeated(shop)


BY_CPU = workers(
    slots=BUSY_SLOTS,
    autoscaling={"mode": "hpa", "maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "behavior": AT_ONCE},
)
BY_BACKLOG = workers(
    autoscaling={
        "mode": "keda",
        "minReplicas": 0,
        "maxReplicas": 3,
        "behavior": AT_ONCE,
        "keda": {"pollingInterval": 2, "cooldownPeriod": 5},
    },
)


@pytest.mark.parametrize(
    ("values", "least", "many"),
    [
        pytest.param(BY_CPU, 1, BUSY, id="cpu"),
        pytest.param(BY_BACKLOG, 0, 2 * MANY, id="backlog", marks=pytest.mark.keda),
    ],
    indirect=["values"],
)
def test_an_autoscaler_follows_what_it_measures_up_and_down(
    platform: Installation,
    shop: Shop,
    values: Mapping[str, Any],
    least: int,
    many: int,
) -> None:
    platform.until(lambda: len(platform.pods("worker")) == least, f"{least} workers at rest", SCALING_SECONDS)

    began = time.monotonic()
    orders = shop.place(many)
    platform.until(lambda: platform.ready("worker") == 3, "three workers", SCALING_SECONDS)
    up = time.monotonic() - began
    shop.complete(orders)
    done = time.monotonic() - began
    platform.until(lambda: len(platform.pods("worker")) == least, f"{least} workers again", SCALING_SECONDS)
    down = time.monotonic() - began

    told = f"three workers after {up:.0f} s, all Completed after {done:.0f} s, {least} workers after {down:.0f} s"
    measured(f"{many} orders: {told}")
    no_activity_was_repeated(shop)
    platform.take_over()
    shop.nothing_is_lost_or_twice(orders)


def shipping(replicas: int) -> dict[str, Any]:
    return {"workers": {"shipping": {"roles": ["shipping"], "replicas": replicas}}}


@pytest.mark.parametrize("values", [shipping(0)], indirect=True)
def test_orders_wait_for_a_shipping_pool_at_zero_and_say_so(
    platform: Installation, shop: Shop, values: Mapping[str, Any]
) -> None:
    orders = shop.place(5, of=SHIPPED_ELSEWHERE)

    platform.until(
        lambda: set(shop.held_up_by().values()) == {"NoWorker"}, "all orders without a worker", NO_WORKER_SECONDS
    )
    platform.upgrade(shipping(1))

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)
    nothing_was_repeated(shop)
