"""What the operator does not see is no reason to undo, to begin anew or to say that nothing is there."""

import json
import math
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster import STOCK_ITEMS, Cluster
from toxiproxy import toxiproxy

from order_operator.cluster.inventory import INTERVAL_SECONDS
from order_operator.orders.decision import CONFIRMED_AGE_SECONDS
from order_operator.temporal.cancellation import TWO_LOOKS_SECONDS

LOOKS_UNTIL_A_CANCELLATION = 2 + math.ceil(TWO_LOOKS_SECONDS / INTERVAL_SECONDS)
"""One at most was under way before, and one begins the time."""

ANA = "Ana Torres 😀 𠮷"


def wait_for_approval(cluster: Cluster, **changes: Any) -> str:
    """Workflow id of an order that waits, is shown so and carries the finalizer."""
    cluster.apply(total=150_000, **changes)
    identifier: str = cluster.reaches("Waiting")["workflow"]["id"]
    return identifier


def delete_workflow(cluster: Cluster, identifier: str) -> None:
    """As retention, a restored Temporal or an administrator would."""
    cluster.stack.temporal("workflow", "delete", "--workflow-id", identifier, "--yes")

    def gone() -> bool:
        try:
            cluster.workflow(identifier)
        except Exception:  # noqa: BLE001 - the command fails in its own way
            return True
        return False

    cluster.until(gone)


def approve_in_spec(cluster: Cluster) -> None:
    cluster.patch("order", approval={"decision": "Approved", "by": "bob", "totalMinor": 150_000})


@pytest.fixture
def seen_from_afar(cluster: Cluster, tmp_path: Path) -> Any:
    """Starts the operator anew, at 150 ms from Temporal."""
    with toxiproxy(tmp_path) as proxy:
        link = proxy.link("temporal", cluster.stack.addresses["temporal"])

        def start() -> None:
            far = cluster.stack.with_environment({"operator": {"TEMPORAL_ADDRESS": link.address}})
            far.up(["operator"], keep=True)

        with link.latency(150):
            yield start
        cluster.stack.kill("operator")
        cluster.stack.up()


def test_an_operator_that_starts_far_from_temporal_takes_nothing_off_its_open_orders(
    cluster: Cluster, seen_from_afar: Any
) -> None:
    """B1: with 20 ms of round trip, each start took finalizer and progress off every open order, and put them back."""
    wait_for_approval(cluster)
    cluster.stack.kill("operator")
    before = cluster.order()["metadata"]["resourceVersion"]

    seen_from_afar()

    cluster.until(lambda: cluster.scans("full") > 0)
    cluster.until(lambda: cluster.scans("sweep") > 0)
    assert cluster.order()["metadata"]["resourceVersion"] == before
    approve_in_spec(cluster)
    cluster.reaches("Completed")


def test_an_order_whose_open_workflow_vanished_goes_on_and_is_charged_once(cluster: Cluster) -> None:
    """B13: it stayed Waiting and Ready for ever, and each approval was sent once a second without end."""
    delete_workflow(cluster, wait_for_approval(cluster))

    approve_in_spec(cluster)

    cluster.reaches("Completed")
    assert list(cluster.charges().values()) == [(150_000, 0)]


@pytest.mark.long
def test_an_open_workflow_that_vanished_is_noticed_within_two_minutes_though_nobody_asks(cluster: Cluster) -> None:
    """It takes the operator's next list of what is open, which it makes each minute."""
    delete_workflow(cluster, wait_for_approval(cluster))
    vanished = cluster.status()["workflow"]["runID"]

    cluster.eventually(lambda status: status["workflow"]["runID"] != vanished, seconds=120)

    approve_in_spec(cluster)
    cluster.reaches("Completed")
    assert list(cluster.charges().values()) == [(150_000, 0)]


def test_an_order_whose_workflow_vanished_can_be_deleted(cluster: Cluster) -> None:
    """B13: its finalizer could not be got rid of."""
    delete_workflow(cluster, wait_for_approval(cluster))

    cluster.delete("order")

    assert not cluster.order()


def test_an_order_that_completed_unseen_and_was_forgotten_stays_completed(cluster: Cluster) -> None:
    """B46: it was begun anew, and could end as Rejected with the money kept."""
    identifier = wait_for_approval(cluster)
    cluster.stack.kill("operator")
    decision = json.dumps({"by": "bob", "totalMinor": 150_000, "currency": "USD"})
    cluster.stack.temporal(
        "workflow", "update", "execute", "--workflow-id", identifier, "--name", "approve", "--input", decision
    )
    cluster.until(lambda: cluster.workflow(identifier)["workflowExecutionInfo"]["status"].endswith("COMPLETED"))
    delete_workflow(cluster, identifier)

    cluster.stack.up()

    status = cluster.reaches("Completed")
    assert status["payment"]["capturedMinor"] == 150_000
    assert list(cluster.charges().values()) == [(150_000, 0)]


def test_what_others_wrote_into_a_status_is_gone_with_the_next_look(cluster: Cluster) -> None:
    """B12: forged conditions and payments stayed for ever, and `kubectl wait` believed them."""
    wait_for_approval(cluster)
    forged = cluster.status()
    shown = {key: forged[key] for key in ("phase", "orderStatus", "progress")}
    forged["payment"] = {"transactionID": "tx-forged", "capturedMinor": 150_000}
    forged["conditions"].append(
        {
            "type": "Shipped",
            "status": "True",
            "reason": "Done",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    )

    cluster.create_status("order", forged)

    status = cluster.eventually(lambda status: "payment" not in status)
    assert [item["type"] for item in status["conditions"] if item["type"] == "Shipped"] == []
    assert {key: status[key] for key in shown} == shown


def test_every_character_arrives_in_the_status(cluster: Cluster) -> None:
    """An emoji in a name, and the order was charged, shipped and shown as Running for ever."""
    address = {
        "name": ANA,
        "line1": "1 Main Street",
        "city": "Springfield",
        "postalCode": "62701",
        "country": "US",
    }
    wait_for_approval(cluster, shippingAddress=address)
    cluster.patch("order", approval={"decision": "Approved", "by": "maria 😀", "totalMinor": 150_000})

    status = cluster.reaches("Completed")

    assert status["shippingAddress"]["name"] == ANA
    assert status["approval"]["by"] == "maria 😀"


def test_lines_that_a_client_of_the_workflow_changes_again_and_again_stay_and_are_told(cluster: Cluster) -> None:
    """B14: the operator took them back within a second, and hung the second time."""
    identifier = wait_for_approval(cluster)

    def lines(quantity: int) -> list[dict[str, Any]]:
        return [{"lineID": "1", "sku": "PROD-001", "quantity": quantity, "unitPriceMinor": 150_000}]

    def client_orders(quantity: int) -> None:
        cluster.stack.temporal(
            "workflow", "update", "execute", "--workflow-id", identifier, "--name", "change_lines",
            "--input", json.dumps({"lines": lines(quantity)}),
        )  # fmt: skip
        cluster.eventually(lambda status: status.get("totalMinor") == quantity * 150_000)
        cluster.until(lambda: cluster.condition("SpecApplied")["reason"] == "ChangedByClient")

    client_orders(3)
    client_orders(2)
    client_orders(3)
    cluster.patch("order", lines=lines(4), totalMinor=600_000)
    cluster.eventually(lambda status: status.get("totalMinor") == 600_000)
    cluster.until(lambda: cluster.condition("SpecApplied")["reason"] == "Applied")
    client_orders(3)

    assert cluster.status()["phase"] == "Waiting"
    cluster.delete("order")


def test_an_order_that_was_deleted_while_the_operator_was_frozen_is_never_started(cluster: Cluster) -> None:
    """It acted on the creation that it had buffered, before it read the deletion behind it: charged, and refunded."""
    pid = cluster.stack.pid("operator")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        cluster.apply("frozen")
        created = datetime.fromisoformat(cluster.order("frozen")["metadata"]["creationTimestamp"])
        cluster.delete("frozen")
        old_enough = timedelta(seconds=CONFIRMED_AGE_SECONDS + 1)
        cluster.until(lambda: datetime.now(UTC) - created > old_enough)
    finally:
        os.kill(pid, signal.SIGCONT)

    cluster.apply("after")
    cluster.reaches("Completed", "after")
    assert [item for item in cluster.workflows() if "/frozen/" in item] == []


def test_a_second_cluster_on_the_same_temporal_leaves_the_orders_of_the_first_alone(
    cluster: Cluster, elsewhere: Cluster
) -> None:
    """B8: with the chart's defaults it cancelled every one of them within a second of its start."""
    identifier = wait_for_approval(cluster)

    for name in ("another", "lost"):
        elsewhere.apply(name, total=150_000)
        elsewhere.reaches("Waiting", name)
    lost = elsewhere.status("lost")["workflow"]["id"]
    elsewhere.stack.kill("operator")
    elsewhere.lose("lost")

    elsewhere.stack.up(["operator"], keep=True)

    elsewhere.until(lambda: elsewhere.orphans() > 0)
    assert elsewhere.orphans() == 1  # the lost one alone
    assert cluster.workflow(identifier)["workflowExecutionInfo"]["status"].endswith("RUNNING")
    elsewhere.patch("another", approval={"decision": "Approved", "by": "bob", "totalMinor": 150_000})
    elsewhere.reaches("Completed", "another")
    assert cluster.status()["phase"] == "Waiting"
    # Nobody follows it any more: on the shared task queue it would be another installation's for the tests to come.
    cluster.stack.temporal("workflow", "cancel", "--workflow-id", lost)
    cluster.until(lambda: cluster.workflow(lost)["workflowExecutionInfo"]["status"].endswith("COMPLETED"))


def test_a_second_cluster_on_the_task_queue_of_the_first_starts_nothing_there(
    cluster: Cluster, elsewhere: Cluster
) -> None:
    """B9: workers of either carried out the orders of both, by the ledger that they had."""
    cluster.apply()
    cluster.reaches("Completed")
    as_by_default = {"operator": {"ORDER_OPERATOR_SHARE_TASK_QUEUE": "false"}}
    elsewhere.stack.stop("operator")
    elsewhere.stack.with_environment(as_by_default).start("operator")

    elsewhere.apply("another")

    told = elsewhere.eventually(lambda status: "TaskQueueTaken" in json.dumps(status), "another")
    assert cluster.identity() in json.dumps(told)
    assert [item for item in cluster.workflows() if "/another/" in item] == []


@pytest.mark.long
def test_of_two_clusters_on_one_ledger_neither_stops_the_workflow_of_the_others_article(
    cluster: Cluster, elsewhere: Cluster
) -> None:
    """B9: each cancelled the other's within a minute of its start, and began its own."""
    sku = cluster.namespace

    def runs() -> list[str]:
        ids = [f"stock/{each.identity()}/{sku}" for each in (cluster, elsewhere)]
        found = [cluster.workflow(identifier)["workflowExecutionInfo"] for identifier in ids]
        assert {run["status"].rpartition("_")[2] for run in found} == {"RUNNING"}
        return [run["execution"]["runId"] for run in found]

    cluster.keep_stock("shelf", sku)
    cluster.eventually(lambda status: status.get("onHand") == 1_000, "shelf", kind=STOCK_ITEMS)
    elsewhere.keep_stock("shelf", sku)
    elsewhere.eventually(lambda status: "SkuTaken" in json.dumps(status), "shelf", kind=STOCK_ITEMS)
    before = runs()

    looks = {each: each.inventories() + LOOKS_UNTIL_A_CANCELLATION for each in (cluster, elsewhere)}
    for each, enough in looks.items():
        seconds = (LOOKS_UNTIL_A_CANCELLATION + 1) * INTERVAL_SECONDS
        each.until(lambda each=each, enough=enough: each.inventories() >= enough, seconds)  # type: ignore[misc]

    assert runs() == before
