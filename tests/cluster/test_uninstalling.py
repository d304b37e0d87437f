"""What is left when the platform goes, and what becomes of it when it comes back."""

import json
import re
from collections.abc import Iterator

import pytest
from cluster_shop import FAST, TOTAL, Shop
from installation import NAMESPACE, RELEASE, Installation

from order_devstack.errors import CommandFailed

pytestmark = pytest.mark.cluster

EVERY_KIND = (
    "deployments,replicasets,pods,services,configmaps,serviceaccounts,roles,rolebindings,cronjobs,jobs,leases,"
    "poddisruptionbudgets,networkpolicies,horizontalpodautoscalers,clusterroles,clusterrolebindings"
)


GOING_SECONDS = 60.0
"""Pods need a second or two; those of a worker may finish what they do, for 25."""


@pytest.fixture
def uninstalled(platform: Installation, shop: Shop) -> Iterator[list[str]]:
    """Names of finished orders of `shop`; the platform is gone, and comes back after the test."""
    orders = shop.place(5, of=FAST)
    shop.complete(orders)
    platform.uninstall()
    yield orders
    platform.reinstall()


def left_of_the_release(platform: Installation) -> list[str]:
    """Objects that carry the release's label, and its Lease."""
    labelled = f"app.kubernetes.io/instance={RELEASE}"
    by_label = platform.node.kubectl("get", EVERY_KIND, "--all-namespaces", f"--selector={labelled}", "--output=json")
    leases = platform.kubectl("get", "leases", "--output=json")
    found = [*json.loads(by_label)["items"], *json.loads(leases)["items"]]
    return sorted(f"{item['kind']} {item['metadata']['name']}" for item in found)


def test_an_uninstall_with_open_orders_is_refused_and_changes_nothing(platform: Installation, shop: Shop) -> None:
    orders = shop.place(10)
    shop.are_under_way()

    with pytest.raises(CommandFailed) as refused:
        platform.uninstall()

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)
    platform.node.helm(*way_back(refused.value))
    platform.upgrade()


def way_back(refused: CommandFailed) -> list[str]:
    """What Helm printed to type after `helm`, so that the release can be upgraded again."""
    said = f"{refused.stdout}\n{refused.stderr}"
    assert "orders are still open" in said
    found = re.search(r"only after: helm (rollback \S+ \d+ --namespace [\w-]+)", said)
    assert found, said
    return found[1].split()


@pytest.fixture
def cancelling(platform: Installation) -> Iterator[None]:
    """An uninstall cancels open orders; the platform comes back after the test."""
    platform.upgrade({"uninstall": {"openOrders": "cancel"}})
    yield
    platform.reinstall()


@pytest.mark.usefixtures("cancelling")
def test_an_uninstall_can_cancel_open_orders_and_waits_until_all_is_given_back(
    platform: Installation, shop: Shop
) -> None:
    waiting = shop.place(5, of="threshold", total=150_000, prefix="waiting")
    shop.place(5)
    shop.are_under_way(5)
    platform.until(lambda: all(shop.phases()[name] == "Waiting" for name in waiting), "orders that wait")

    platform.uninstall()

    ends = shop.phases()
    assert {ends[name] for name in waiting} == {"Cancelled"}
    assert set(ends.values()) <= {"Cancelled", "Completed"}  # one whose parcel has left is not called back
    uids = {name: order["metadata"]["uid"] for name, order in shop.orders().items()}
    assert shop.kept(list(uids.values())) == {
        uid: TOTAL if ends[name] == "Completed" else 0 for name, uid in uids.items()
    }


def test_orders_and_kinds_stay_and_nothing_else(platform: Installation, shop: Shop, uninstalled: list[str]) -> None:
    platform.until(lambda: left_of_the_release(platform) == [], "nothing left of the release", GOING_SECONDS)

    assert shop.phases() == dict.fromkeys(uninstalled, "Completed")


def test_a_finished_order_can_be_deleted_without_the_platform(shop: Shop, uninstalled: list[str]) -> None:
    shop.kubectl("delete", "orders.order-platform.dev", uninstalled[0], "--timeout=20s")

    assert uninstalled[0] not in shop.orders()


def test_after_a_new_installation_old_orders_are_known_and_new_ones_complete(
    platform: Installation, shop: Shop, uninstalled: list[str]
) -> None:
    platform.reinstall()

    orders = shop.place(5, of=FAST, prefix="new")
    shop.complete(orders)
    shop.nothing_is_lost_or_twice([*uninstalled, *orders])
    assert platform.kubectl("get", "pods", "--output=name", f"--namespace={NAMESPACE}")
