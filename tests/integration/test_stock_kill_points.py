"""The operator is killed before and after the write of a StockItem's status, and another one starts: the article is
ordered once at the supplier."""

import pytest
from api_proxy import Call
from cluster import STOCK_ITEMS, Cluster
from operator_calls import API
from traffic import RETURN_SECONDS
from wiring import Wiring

pytestmark = pytest.mark.long

MISSING = 20
"""Units below the target, for which the supplier is asked."""


@pytest.fixture
def sku(shop: Cluster) -> str:
    """An article of the test's own: the ledger is shared."""
    return f"KILLED-{shop.namespace}"


def keep(shop: Cluster, sku: str) -> None:
    shop.keep_stock("item", sku, initialOnHand=10, minimum=20, target=10 + MISSING)


def is_kept(shop: Cluster, sku: str) -> None:
    """What was missing has come, by one supplier order."""
    target = 10 + MISSING
    shop.eventually(lambda status: status.get("onHand") == target, "item", RETURN_SECONDS, STOCK_ITEMS)
    assert shop.supplier_orders(sku) == [MISSING]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_operator_killed_around_the_write_of_an_items_status_is_followed_by_another(
    when: str, wired: Wiring, shop: Cluster, sku: str
) -> None:
    status = Call("PUT", f"{API}/namespaces/{shop.namespace}/stockitems/item/status")
    held = wired.api.hold(status, after=when == "after")
    keep(shop, sku)
    held.wait()

    wired.restart_operator()

    is_kept(shop, sku)
