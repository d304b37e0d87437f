"""The platform confined to one namespace."""

from collections.abc import Iterator

import pytest
from cluster_shop import FAST, Shop
from installation import NAMESPACE, Installation
from rights import granted, refused

pytestmark = pytest.mark.cluster

TEAM = "team-a"
READ_ONLY = {
    *(f"{verb} order-platform.dev/orderclasses" for verb in ("list", "watch")),
    *(
        f"get apiextensions.k8s.io/customresourcedefinitions {kind}.order-platform.dev"
        for kind in ("orders", "orderclasses", "stockitems")
    ),
    *(
        f"get admissionregistration.k8s.io/{kind} order-platform-orders"
        for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    ),
    "list coordination.k8s.io/leases",
}
LEADING = {
    "create coordination.k8s.io/leases",
    "get coordination.k8s.io/leases order-platform-operator",
    "update coordination.k8s.io/leases order-platform-operator",
}
ON_ORDERS = {
    *(f"{verb} order-platform.dev/orders" for verb in ("get", "list", "watch", "patch", "delete", "reflect")),
    *(f"{verb} order-platform.dev/stockitems" for verb in ("get", "list", "watch")),
    *(f"update order-platform.dev/{kind}/status" for kind in ("orders", "stockitems")),
    "create events.k8s.io/events",
    f"get /namespaces {TEAM}",
}


@pytest.fixture(scope="module")
def team(installed: Installation) -> Iterator[Shop]:
    """The namespace that the platform is confined to, for the tests of this file."""
    shop = Shop(installed, TEAM)
    installed.upgrade({"watch": {"namespaces": [TEAM]}})
    installed.becomes_whole()
    yield shop
    installed.upgrade()
    installed.becomes_whole()


def test_confined_to_a_namespace_the_operator_has_the_rights_it_needs_and_no_more(
    platform: Installation, team: Shop
) -> None:
    assert granted(platform.node) == {
        "*": READ_ONLY,
        "kube-system": {"get /namespaces kube-system"},
        TEAM: ON_ORDERS,
        NAMESPACE: LEADING,
    }


def test_confined_to_a_namespace_it_carries_orders_there_and_nowhere_else(
    platform: Installation, team: Shop, shop: Shop
) -> None:
    began = len(platform.requests())
    elsewhere = shop.place(1, of=FAST)

    orders = team.place(5, of=FAST)

    team.complete(orders)
    assert refused(platform.requests()[began:]) == []
    assert shop.phases() == dict.fromkeys(elsewhere, "")
