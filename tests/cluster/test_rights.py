"""The operator's rights against what the API server's audit log says that it did."""

import json

import pytest
from cluster_shop import FAST, Shop
from installation import OPERATOR, Installation
from rights import ASKED_BY_POLICIES, granted, refused, used

pytestmark = pytest.mark.cluster

RARELY_USED = {
    # For one that its watch has missed, and for a workflow whose article is gone: test_deaf_watch.py and
    # test_stock_items.py of the integration tests.
    "get order-platform.dev/stockitems in *",
}


def test_every_right_is_used_and_none_is_missing(platform: Installation, shop: Shop) -> None:
    """One of everything that happens to orders and articles; other tests of the session may have used rights, too."""
    orders = shop.place(2, of=FAST)
    [deleted] = shop.place(1, prefix="deleted")
    shop.are_under_way()
    shop.kubectl("delete", "orders.order-platform.dev", deleted, "--wait=false")
    shop.complete(orders)
    [refused_order] = shop.place(1, prefix="unknown", sku="NO-SUCH-ARTICLE")  # an event tells it
    platform.until(lambda: shop.phases()[refused_order] == "Invalid", "an order of an unknown article Invalid")
    platform.kubectl("delete", "lease", OPERATOR)
    platform.until(lambda: platform.leader() != "", "a Lease that somebody deleted made anew")
    expiring = json.dumps({"spec": {"ttlSecondsAfterFinished": 0}})
    shop.kubectl("patch", "orders.order-platform.dev", orders[0], "--type=merge", "--patch", expiring)
    platform.until(lambda: not {orders[0], deleted} & set(shop.orders()), "the order whose time has come deleted")

    rights = {
        (where, right)
        for where, rules in granted(platform.node).items()
        for right in rules
        if not right.startswith(ASKED_BY_POLICIES)
    }
    requests = platform.requests()
    done = used(requests)

    unused = {
        f"{right} in {where}"
        for where, right in rights
        if not any(
            (where in {"*", namespace} or (namespace, where) == ("", "*"))
            and (request == right or request.startswith(f"{right} "))
            for namespace, request in done
        )
    }
    assert refused(requests) == []
    assert unused <= RARELY_USED
