"""Stock items: articles that are kept between a minimum and a target, as their owners see them."""

from collections.abc import Callable
from typing import Any

import pytest
from cluster import STOCK_ITEMS, Cluster, condition

from order_operator.temporal.cancellation import TWO_LOOKS_SECONDS

RETURN_SECONDS = 90.0
"""After a server was away: its own start, and the clients' back-off of at most ten seconds."""

Status = dict[str, Any]


@pytest.fixture
def sku(cluster: Cluster) -> str:
    """An article of the test's own: the ledger is shared."""
    return f"STOCK-{cluster.namespace}"


def shown(
    cluster: Cluster, holds: Callable[[Status], bool], name: str = "item", seconds: float = RETURN_SECONDS
) -> Status:
    """The item's status once `holds` is true of it."""
    return cluster.eventually(holds, name, seconds, STOCK_ITEMS)


def counted(status: Status) -> bool:
    return "onHand" in status and condition(status, "Reconciling").get("status") == "False"


def ready(reason: str) -> Callable[[Status], bool]:
    return lambda status: condition(status, "Ready").get("reason") == reason


def order(cluster: Cluster, sku: str, quantity: int, name: str = "order") -> None:
    """Order pieces, and see the order through to its end."""
    cluster.apply(name, lines=[{"lineID": "1", "sku": sku, "quantity": quantity, "unitPriceMinor": 1}])
    cluster.reaches("Completed", name)


def ended(cluster: Cluster, sku: str) -> bool:
    status: str = cluster.workflow(f"stock/{cluster.identity()}/{sku}")["workflowExecutionInfo"]["status"]
    return status.endswith("COMPLETED")


def test_an_item_shows_the_counts_of_its_article(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)

    status = shown(cluster, counted)

    assert [status[name] for name in ("onHand", "reserved", "sold", "onOrder")] == [1_000, 0, 0, 0]
    assert (condition(status, "Ready")["status"], condition(status, "Ready")["reason"]) == ("True", "Kept")
    assert condition(status, "Replenishing")["reason"] == "NothingOnOrder"
    assert status["workflow"]["id"] == f"stock/{cluster.identity()}/{sku}"


def test_an_order_of_999_of_1000_pieces_is_restocked_to_10000_by_one_supplier_order(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku, minimum=1_000, target=10_000)
    shown(cluster, counted)

    order(cluster, sku, 999)

    # What the supplier was asked for tells that one piece was left.
    status = shown(cluster, lambda status: status["onHand"] == 10_000)
    assert (status["sold"], status["reserved"], status["onOrder"]) == (999, 0, 0)
    assert cluster.supplier_orders(sku) == [9_999]


def test_an_open_order_at_the_supplier_is_shown(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku, minimum=1_500)

    # The supplier delivers after two seconds: a watch sees what polling could miss.
    ordered = '--for=jsonpath={.status.conditions[?(@.reason=="Ordered")].type}=Replenishing'
    cluster.kubectl("wait", ordered, f"{STOCK_ITEMS}/item", "--timeout=60s")


def test_a_second_item_for_an_article_waits_until_the_first_is_deleted(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("first", sku)
    shown(cluster, counted, "first")
    cluster.keep_stock("second", sku, target=3_000)

    status = shown(cluster, ready("SkuTaken"), "second")
    assert condition(status, "Stalled")["status"] == "True"
    assert f"{cluster.namespace}/first" in condition(status, "Ready")["message"]
    assert "onHand" not in status

    cluster.delete("first", kind=STOCK_ITEMS)

    assert shown(cluster, counted, "second")["onHand"] == 1_000


def test_an_edited_minimum_and_target_are_kept(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)
    shown(cluster, counted)

    cluster.patch("item", kind=STOCK_ITEMS, minimum=1_001, target=3_000)

    status = shown(cluster, lambda status: status["onHand"] == 3_000)
    assert status["observedGeneration"] == cluster.order("item", STOCK_ITEMS)["metadata"]["generation"] == 2
    assert cluster.supplier_orders(sku) == [2_000]


def test_an_edit_waits_while_no_worker_runs(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)
    shown(cluster, counted)
    cluster.stack.stop("worker")

    cluster.patch("item", kind=STOCK_ITEMS, minimum=200)

    status = shown(cluster, lambda status: condition(status, "Reconciling").get("reason") == "Applying")
    assert status["observedGeneration"] == 1
    cluster.stack.up()
    shown(cluster, lambda status: status["observedGeneration"] == 2)


def test_a_deleted_item_is_restocked_no_more(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku, minimum=500)
    shown(cluster, counted)

    cluster.delete("item", kind=STOCK_ITEMS)
    cluster.until(lambda: ended(cluster, sku))
    order(cluster, sku, 999)

    assert cluster.stock(sku)["on_hand"] == 1
    assert cluster.supplier_orders(sku) == []


@pytest.mark.long
def test_an_item_deleted_while_the_operator_is_down_is_let_go_after_a_second_look(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)
    shown(cluster, counted)
    cluster.stack.kill("operator")
    cluster.delete("item", kind=STOCK_ITEMS)

    cluster.stack.up()

    cluster.until(lambda: ended(cluster, sku), TWO_LOOKS_SECONDS + 120)


def test_an_item_created_again_under_its_name_keeps_the_article_again(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)
    shown(cluster, counted)

    cluster.delete("item", kind=STOCK_ITEMS)
    cluster.keep_stock("item", sku, initialOnHand=7, minimum=1_001, target=1_500)

    status = shown(cluster, lambda status: status.get("onHand") == 1_500)
    assert condition(status, "Ready")["status"] == "True"
    assert cluster.supplier_orders(sku) == [500]


def test_a_forged_status_is_restored(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)
    shown(cluster, counted)

    cluster.create_status("item", {"onHand": 7, "conditions": []}, STOCK_ITEMS)

    assert shown(cluster, counted)["onHand"] == 1_000


def test_a_terminated_workflow_is_started_again(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)
    first = shown(cluster, counted)["workflow"]["runID"]

    cluster.stack.temporal(
        "workflow", "terminate", "--workflow-id", f"stock/{cluster.identity()}/{sku}", "--reason", "a test"
    )

    status = shown(cluster, lambda status: counted(status) and status["workflow"]["runID"] != first)
    assert status["onHand"] == 1_000


def test_at_rest_nothing_is_written(cluster: Cluster, sku: str) -> None:
    cluster.keep_stock("item", sku)
    shown(cluster, counted)
    cluster.keep_stock("second", sku)
    shown(cluster, ready("SkuTaken"), "second")
    # A sweep under way may still bring something; between two later ones the second item looks again.
    swept = cluster.scans("sweep")
    cluster.until(lambda: cluster.scans("sweep") > swept)
    # Of stock items alone: orders of other tests may still be on their way.
    before, swept = cluster.api_writes("stockitems"), cluster.scans("sweep")

    cluster.until(lambda: cluster.scans("sweep") >= swept + 1)

    assert 0 < cluster.api_writes("stockitems") == before


def test_while_temporal_is_away_an_item_says_so_in_one_write_and_then_goes_on(cluster: Cluster, sku: str) -> None:
    cluster.stack.stop("temporal")
    cluster.keep_stock("item", sku)
    shown(cluster, ready("TemporalUnavailable"))
    version = cluster.order("item", STOCK_ITEMS)["metadata"]["resourceVersion"]
    cluster.keep_stock("other", f"{sku}-2")
    shown(cluster, ready("TemporalUnavailable"), "other")

    assert cluster.order("item", STOCK_ITEMS)["metadata"]["resourceVersion"] == version
    cluster.stack.up()
    assert shown(cluster, counted)["onHand"] == 1_000
