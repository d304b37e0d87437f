"""Pods that are taken away while orders are under way."""

from collections.abc import Iterator

import pytest
from cluster_shop import Shop
from installation import Installation

from order_devstack.cluster.layout import NODE
from order_operator.cluster.leadership import LEASE_DURATION_SECONDS

pytestmark = pytest.mark.cluster


@pytest.fixture
def drained_node(platform: Installation) -> Iterator[None]:
    """Nothing is to be drained for good."""
    yield
    platform.node.kubectl("uncordon", NODE)


@pytest.mark.parametrize("component", ["operator", "worker"])
def test_each_pod_is_deleted_and_no_order_lost(platform: Installation, shop: Shop, component: str) -> None:
    orders = shop.place(20)
    shop.are_under_way()

    for pod in platform.pods(component):
        platform.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    orders += shop.place(10, prefix="meanwhile")

    platform.becomes_whole()
    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)


def test_a_worker_is_killed_in_the_middle_of_charges(platform: Installation, shop: Shop) -> None:
    orders = shop.place(20)
    shop.are_under_way(10)
    [pod, *_] = platform.pods("worker")

    platform.kill(pod["metadata"]["name"])

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)


def test_the_leading_operator_is_killed_and_another_takes_over(platform: Installation, shop: Shop) -> None:
    orders = shop.place(20)
    shop.are_under_way()
    leader = platform.leader()

    platform.kill(leader)
    orders += shop.place(10, prefix="meanwhile")

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)


def test_a_leader_that_is_asked_to_go_gives_the_lease_away(platform: Installation) -> None:
    """Nobody has to wait until it runs out."""
    leader = platform.leader()

    platform.kubectl("delete", "pod", leader, "--wait=false")

    platform.until(
        lambda: platform.leader() not in {"", leader}, "another leader within half a lease", LEASE_DURATION_SECONDS / 2
    )


def test_a_namespace_deleted_with_open_orders_gives_the_money_back(platform: Installation, shop: Shop) -> None:
    shop.place(20)
    shop.are_under_way(20)
    uids = shop.uids()

    platform.node.kubectl("delete", "namespace", shop.namespace, "--timeout=120s")

    # Those that were younger than five seconds are undone after their resources have gone.
    platform.until(lambda: shop.running_workflows() == 0, "no workflow left")
    assert shop.kept(uids) == dict.fromkeys(uids, 0)


@pytest.mark.usefixtures("drained_node")
def test_a_drained_node_holds_orders_up_and_loses_none(platform: Installation, shop: Shop) -> None:
    orders = shop.place(20)
    shop.are_under_way()

    # There is no other node: a disruption budget would rightly never let the last pods go.
    drain = ("--ignore-daemonsets", "--delete-emptydir-data", "--disable-eviction", "--timeout=120s")
    platform.node.kubectl("drain", NODE, *drain)
    orders += shop.place(10, prefix="meanwhile")
    assert platform.ready("worker") == 0
    platform.node.kubectl("uncordon", NODE)

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)
