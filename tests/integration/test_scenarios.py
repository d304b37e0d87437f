"""Every scenario, played as `make scenario` plays it, ends as the catalogue says and leaves the records to prove it."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from cluster import Cluster, condition
from messages import wrong_messages
from order_history import OrderHistory
from terminal import with_ctrl_c

from order_devstack import live_orders, scenario_player
from order_devstack.scenario_player import Outcome
from order_devstack.scenarios import SCENARIOS
from order_devstack.stack import Stack
from order_domain.pipeline import StepName
from order_workflows.pipeline import STEP_OF_ACTIVITY as STEP_OF

CLASSES = Path(__file__).resolve().parents[2] / "manifests/classes"
ALONE = {"recoverable-failure", "killed-worker"}
"""Scenarios that kill or break the worker of everybody."""
ELSEWHERE = {"key-rotation"}
"""Played in test_temporal_credentials.py, on a Temporal that asks for a key."""
QUIET = sorted(set(SCENARIOS) - ALONE - ELSEWHERE, key=lambda name: name != "flaky-calls")  # the longest one first
AT_ONCE = 4
PATIENCE_SECONDS = 120.0
MANY = 100

Play = Callable[[str], Outcome]
Plays = dict[str, Future[tuple[Outcome, OrderHistory]]]


def perform(stack: Stack, name: str, folder: Path) -> tuple[Outcome, OrderHistory]:
    history = OrderHistory(Cluster(stack, f"play-{name}"), folder)
    with history.recording():
        return scenario_player.play(stack, SCENARIOS[name], namespace=f"play-{name}"), history


# Not while tests run: between them pytest changes the environment, which a thread that starts a program is reading.
@pytest.fixture(scope="module")
def quiet(platform: Stack, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """Those that leave the worker alone, played to the end, a few at a time. How each ended, its own test asserts."""
    folder = tmp_path_factory.mktemp("histories")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {name: pool.submit(perform, platform, name, folder) for name in QUIET}


@pytest.fixture
def played(platform: Stack, quiet: Plays, tmp_path: Path) -> Play:
    """Outcome of a scenario, which has ended as the catalogue says, and all of whose messages were right."""

    def play(name: str) -> Outcome:
        outcome, history = perform(platform, name, tmp_path) if name in ALONE else quiet[name].result()
        assert outcome.problems == []
        assert wrong_messages(name, history) == []
        return outcome

    return play


def uid_of(outcome: Outcome, name: str = "order") -> str:
    uid: str = outcome.orders[name]["metadata"]["uid"]
    return uid


def status_of(outcome: Outcome, name: str = "order") -> dict[str, Any]:
    return live_orders.status_of(outcome.orders[name])


def step(status: dict[str, Any], name: StepName) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in status["steps"] if item["name"] == name)
    return found


def rows(stack: Stack, database: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{stack.root / 'data' / database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, parameters).fetchall()


def provider_log(stack: Stack, uid: str) -> dict[str, int]:
    """How many of each the providers themselves have on record for an order; nothing of what they never did."""
    queries = {
        "captured": "SELECT count(*) FROM charges WHERE state = 'captured' AND key LIKE ?",
        "refunded": "SELECT count(*) FROM refunds WHERE charge_key LIKE ?",
        "packed": "SELECT count(*) FROM packed_lines WHERE key LIKE ?",
        "unpacked": "SELECT count(*) FROM unpackings WHERE key LIKE ?",
        "dispatched": "SELECT count(*) FROM shipments WHERE state = 'dispatched' AND key LIKE ?",
        "called back": "SELECT count(*) FROM shipments WHERE state <> 'dispatched' AND key LIKE ?",
        "mails": "SELECT count(*) FROM mails WHERE key LIKE ?",
    }
    counts = {name: rows(stack, "providers.db", query, f"{uid}%")[0][0] for name, query in queries.items()}
    return {name: count for name, count in counts.items() if count}


def attempts(stack: Stack, uid: str) -> Counter[str]:
    """How often each activity was tried for an order, by the ledger's log."""
    query = "SELECT activity, count(*) FROM activity_attempts WHERE order_uid = ? GROUP BY activity"
    return Counter(dict(rows(stack, "ledger.db", query, uid)))


def audited(stack: Stack, uid: str) -> list[str]:
    """What the ledger did for an order, in order, without what it only intended."""
    effects = "json_extract(data, '$.state') IS NOT 'intent'"
    query = f"SELECT kind FROM audit_events WHERE order_uid = ? AND {effects} ORDER BY seq"  # noqa: S608
    return [kind for (kind,) in rows(stack, "ledger.db", query, uid)]


def pieces(stack: Stack, uid: str) -> dict[str, int]:
    """The pieces that an order has to do with, by what became of them."""
    query = "SELECT state, sum(quantity) FROM reservations WHERE operation_id LIKE ? GROUP BY state"
    return dict(rows(stack, "ledger.db", query, f"{uid}%"))


def assert_books_are_right(cluster: Cluster) -> None:
    stock = cluster.stock()
    assert stock["on_hand"] + stock["reserved"] + stock["sold"] == stock["initial"] + stock["restocked"]
    assert "no flaws" in cluster.audit()


TABLE = {"captured": 1, "packed": 3, "dispatched": 3}
"""What the providers do for the table of system 000, once each."""


def test_happy_path_ships_every_line_once(played: Play, platform: Stack) -> None:
    outcome = played("happy-path")

    assert [item["lineID"] for item in status_of(outcome)["shipments"]] == ["1", "2", "3"]
    assert status_of(outcome)["progress"] == 100
    assert provider_log(platform, uid_of(outcome)) == TABLE


def test_advanced_visibility_finds_the_order_at_every_status(played: Play, quiet: Plays, platform: Stack) -> None:
    outcome = played("advanced-visibility")  # which fails at the first status that Temporal does not find

    [versions] = quiet["advanced-visibility"].result()[1].versions().values()
    shown = dict.fromkeys(version.get("status", {}).get("orderStatus") for version in versions)
    lasting = ["Check Fraud", "Prepare Shipment", "Charge Customer", "Ship Order", "Order Completed"]
    assert [status for status in shown if status in lasting] == lasting, "each lasts three seconds in Temporal"
    assert provider_log(platform, uid_of(outcome)) == TABLE


def test_address_by_signal_ships_to_an_address_that_an_update_would_refuse(played: Play, platform: Stack) -> None:
    outcome = played("address-by-signal")

    assert status_of(outcome)["shippingAddress"]["line1"] == "Rose Cottage"
    assert provider_log(platform, uid_of(outcome)) == TABLE


def test_address_by_update_ships_to_the_address_that_was_not_refused(played: Play, platform: Stack) -> None:
    outcome = played("address-by-update")

    assert status_of(outcome)["shippingAddress"]["line1"] == "7 Rose Street"
    assert condition(status_of(outcome), "SpecApplied")["status"] == "True"
    assert provider_log(platform, uid_of(outcome)) == TABLE


def test_child_workflows_ships_each_line_by_a_workflow_of_its_own(played: Play, platform: Stack) -> None:
    outcome = played("child-workflows")

    query = f"WorkflowId STARTS_WITH 'shipment/{outcome.namespace}/' AND ExecutionStatus = 'Completed'"
    children = json.loads(platform.temporal("workflow", "list", "--query", query, "--output=json"))
    assert len(children) == 3
    assert provider_log(platform, uid_of(outcome)) == TABLE


def test_nexus_operation_ships_each_line_in_another_temporal_namespace(played: Play, platform: Stack) -> None:
    outcome = played("nexus-operation")

    query = f"WorkflowId STARTS_WITH 'shipment/{outcome.namespace}/' AND ExecutionStatus = 'Completed'"
    shipments = json.loads(
        platform.temporal("workflow", "list", "--namespace=shipping", "--query", query, "--output=json")
    )
    assert len(shipments) == 3
    assert provider_log(platform, uid_of(outcome)) == TABLE


def test_api_failure_charges_once_at_the_fifth_attempt_and_keeps_the_last_error(played: Play, platform: Stack) -> None:
    outcome = played("api-failure")

    charge = step(status_of(outcome), StepName.CHARGE_PAYMENT)
    assert (charge["state"], charge["attempts"]) == ("Succeeded", 5)
    assert "attempt 4" in charge["lastError"]
    assert provider_log(platform, uid_of(outcome)) == TABLE


def test_api_failure_waits_1_2_4_and_8_seconds_between_the_attempts(played: Play, platform: Stack) -> None:
    outcome = played("api-failure")

    query = (
        "SELECT started_at FROM activity_attempts WHERE order_uid = ? AND activity = 'charge_payment' ORDER BY attempt"
    )
    began = [datetime.fromisoformat(at) for (at,) in rows(platform, "ledger.db", query, uid_of(outcome))]
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(began)]
    assert len(waits) == 4
    assert all(wait >= wanted - 0.05 for wait, wanted in zip(waits, (1, 2, 4, 8), strict=True))


def test_non_recoverable_failure_is_tried_once_and_undone_in_reverse(played: Play, platform: Stack) -> None:
    outcome = played("non-recoverable-failure")

    status, uid = status_of(outcome), uid_of(outcome)
    assert (status["lastError"]["type"], status["lastError"]["message"]) == ("PaymentDeclined", "invalid_number")
    assert condition(status, "Compensated")["status"] == "True"
    assert attempts(platform, uid)["charge_payment"] == 1
    # A declined charge took nothing: there is no refund to ask for.
    assert [kind for kind in audited(platform, uid) if kind in {"pack", "refund", "unpack"}] == ["pack", "unpack"]
    assert provider_log(platform, uid) == {"packed": 3, "unpacked": 1}


def test_duplicate_order_takes_nothing_for_the_second_of_a_number(played: Play, platform: Stack) -> None:
    outcome = played("duplicate-order")

    assert pieces(platform, uid_of(outcome, "first")) == {"committed": 999}
    assert provider_log(platform, uid_of(outcome, "first")) == {"captured": 1, "dispatched": 1}
    assert pieces(platform, uid_of(outcome, "second")) == {}
    assert provider_log(platform, uid_of(outcome, "second")) == {}
    assert "first" in status_of(outcome, "second")["lastError"]["message"]


def test_errors_everywhere_completes_all_the_same(played: Play, platform: Stack) -> None:
    outcome = played("errors-everywhere")

    for name in outcome.orders:
        assert provider_log(platform, uid_of(outcome, name)) == {"captured": 1, "dispatched": 1}
        assert pieces(platform, uid_of(outcome, name)) == {"committed": 1}


def test_restock_ends_at_the_target_by_one_delivery(played: Play, platform: Stack) -> None:
    outcome = played("restock")

    (line,) = outcome.orders["order"]["spec"]["lines"]
    stock = rows(
        platform, "ledger.db", "SELECT initial, restocked, on_hand, sold FROM stock WHERE sku = ?", line["sku"]
    )
    assert stock == [(1_000, 9_999, 10_000, 999)]
    assert provider_log(platform, uid_of(outcome)) == {"captured": 1, "dispatched": 1}


def test_review_goes_on_when_approved_and_ships_on_another_queue(played: Play, platform: Stack) -> None:
    outcome = played("review")

    assert (status_of(outcome)["approval"]["decision"], status_of(outcome)["approval"]["by"]) == ("Approved", "maria")
    query = f"WorkflowId STARTS_WITH 'shipment/{outcome.namespace}/'"
    (child,) = json.loads(platform.temporal("workflow", "list", "--query", query, "--output=json"))
    assert child["taskQueue"] == "shipping"
    assert provider_log(platform, uid_of(outcome)) == {"captured": 1, "packed": 1, "dispatched": 1}


def test_decisions_end_each_order_as_somebody_or_nobody_decided(played: Play, platform: Stack) -> None:
    outcome = played("decisions")

    charged = {name: provider_log(platform, uid_of(outcome, name)) for name in outcome.orders}
    assert charged == {
        "added-to": {"captured": 1, "dispatched": 2, "packed": 2},
        "rejected": {},
        "cancelled": {},
        "expired": {},
    }
    decisions = {name: status_of(outcome, name)["approval"].get("decision") for name in outcome.orders}
    assert decisions == {"added-to": "Approved", "rejected": "Rejected", "cancelled": None, "expired": "Expired"}


def test_flaky_calls_does_everything_once(played: Play, platform: Stack) -> None:
    outcome = played("flaky-calls")

    assert provider_log(platform, uid_of(outcome)) == {"captured": 1, "packed": 1, "dispatched": 1}


def test_enrichment_knows_the_customer_holds_stock_and_sends_a_mail(played: Play, platform: Stack) -> None:
    outcome = played("enrichment")

    status = status_of(outcome)
    assert status["enrichment"]["tier"] in {"Bronze", "Silver", "Gold", "Platinum"}
    assert len(status["enrichment"]["recommendations"]) == 3
    assert pieces(platform, uid_of(outcome)) == {"committed": 7}
    assert provider_log(platform, uid_of(outcome)) == {"captured": 1, "mails": 1}


def test_below_threshold_asks_nobody(played: Play, platform: Stack) -> None:
    outcome = played("below-threshold")

    assert "decision" not in status_of(outcome).get("approval", {})
    assert provider_log(platform, uid_of(outcome)) == {"captured": 1, "dispatched": 2}


def test_above_threshold_waits_and_its_history_holds_the_decision(played: Play, platform: Stack) -> None:
    outcome = played("above-threshold")

    status = status_of(outcome)
    history = platform.temporal("workflow", "show", "--workflow-id", status["workflow"]["id"], "--output=json")
    accepted = [
        event["workflowExecutionUpdateAcceptedEventAttributes"]["acceptedRequest"]["input"]["name"]
        for event in json.loads(history)["events"]
        if "workflowExecutionUpdateAcceptedEventAttributes" in event
    ]
    assert "Await Approval" in outcome.seen["order"]
    assert accepted == ["approve"]
    assert status["approval"]["by"] == "bob"
    assert provider_log(platform, uid_of(outcome)) == {"captured": 1, "dispatched": 2}


@pytest.mark.usefixtures("quiet")
def test_the_books_are_right_after_all_of_them(cluster: Cluster) -> None:
    assert_books_are_right(cluster)


def test_killed_worker_repeats_no_step(played: Play, platform: Stack, cluster: Cluster) -> None:
    outcome = played("killed-worker")

    # Rows come in batches: of the attempts before the kill those of the last half second may be missing.
    uid = uid_of(outcome)
    cluster.until(lambda: {"reserve_stock", "charge_payment"} <= set(attempts(platform, uid)))
    assert set(attempts(platform, uid).values()) == {1}
    assert set(Counter(audited(platform, uid_of(outcome))).values()) == {1}
    assert provider_log(platform, uid_of(outcome)) == {"captured": 1, "dispatched": 1}
    assert pieces(platform, uid_of(outcome)) == {"committed": 13}
    assert_books_are_right(cluster)


def test_recoverable_failure_charges_once_and_goes_on_in_the_same_run(played: Play, platform: Stack) -> None:
    outcome = played("recoverable-failure")

    tried = attempts(platform, uid_of(outcome))
    assert tried["charge_payment"] == 1
    assert condition(status_of(outcome), "Stalled")["status"] == "False"
    runs = json.loads(
        platform.temporal(
            "workflow", "list", "--query", f"WorkflowId STARTS_WITH 'order/{outcome.namespace}/'", "--output=json"
        )
    )
    assert len(runs) == 1
    assert provider_log(platform, uid_of(outcome)) == TABLE


def a_class(cluster: Cluster, like: str, **spec: object) -> str:
    """An OrderClass like one that ships, `spec` replacing some of it; returns its name."""
    manifest = yaml.safe_load((CLASSES / f"{like}.yaml").read_text())
    manifest["metadata"] = {"name": f"{like}-{cluster.namespace}"}
    manifest["spec"] |= spec
    cluster.create(manifest)
    return f"{like}-{cluster.namespace}"


def orders_of(cluster: Cluster, class_name: str, count: int) -> None:
    """Apply so many orders of one piece at once, like those of the scenario errors-everywhere."""
    documents = scenario_player.documents(SCENARIOS["errors-everywhere"])
    order = next(item for item in documents if item["kind"] == "Order")
    order["spec"]["className"] = class_name
    items = [{**order, "metadata": {"name": f"order-{number}"}} for number in range(count)]
    cluster.create({"apiVersion": "v1", "kind": "List", "items": items})


def all_ended(cluster: Cluster) -> dict[str, Any]:
    """The orders once every one of them has ended."""
    orders: dict[str, Any] = {}

    def ended() -> bool:
        orders.update(live_orders.read(cluster.stack, cluster.namespace))
        return all(map(live_orders.is_finished, orders.values()))

    cluster.until(ended, PATIENCE_SECONDS)
    return orders


def assert_each_was_carried_out_once(cluster: Cluster, orders: dict[str, Any]) -> None:
    phases = Counter(live_orders.status_of(order).get("phase") for order in orders.values())
    assert phases == {"Completed": len(orders)}
    uids = [order["metadata"]["uid"] for order in orders.values()]
    assert [provider_log(cluster.stack, uid) for uid in uids] == [{"captured": 1, "dispatched": 1}] * len(uids)
    assert cluster.charges() == dict.fromkeys(uids, (250, 0))
    assert [pieces(cluster.stack, uid) for uid in uids] == [{"committed": 1}] * len(uids)
    assert_books_are_right(cluster)


def test_with_33_percent_errors_on_every_step_all_of_100_orders_are_carried_out_once(cluster: Cluster) -> None:
    documents = scenario_player.documents(SCENARIOS["errors-everywhere"])
    scenario_class = next(item for item in documents if item["kind"] == "OrderClass")
    cluster.create(scenario_class)
    orders_of(cluster, scenario_class["metadata"]["name"], MANY)

    orders = all_ended(cluster)

    assert len(orders) == MANY
    assert_each_was_carried_out_once(cluster, orders)
    # Defect 16 of the reference systems: a rate of errors that never made one.
    uids = {order["metadata"]["uid"] for order in orders.values()}
    tried = [
        status
        for uid, activity, status in rows(
            cluster.stack, "ledger.db", "SELECT order_uid, activity, status FROM activity_attempts"
        )
        if uid in uids and activity in STEP_OF
    ]
    failed = Counter(tried)["failed"] / len(tried)
    assert 0.25 < failed < 0.41  # five standard deviations of some 900 attempts


def kill_in_the_middle_of_a_charge(cluster: Cluster) -> None:
    def charging() -> bool:
        return any(
            activity["activityType"]["name"] == "charge_payment" and activity["state"].endswith("STARTED")
            for identifier in cluster.workflows()
            for activity in cluster.workflow(identifier).get("pendingActivities", [])
        )

    cluster.until(charging)
    cluster.stack.kill("worker")


def kill_right_after_a_charge(cluster: Cluster) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    uids = [order["metadata"]["uid"] for order in live_orders.read(cluster.stack, cluster.namespace).values()]
    while not any("captured" in provider_log(cluster.stack, uid) for uid in uids):
        assert time.monotonic() < deadline
    cluster.stack.kill("worker")


@pytest.mark.parametrize(
    ("simulation", "kill"),
    [
        ({"steps": {"ChargePayment": {"latencySeconds": 4}}}, kill_in_the_middle_of_a_charge),
        ({"steps": {"ReserveStock": {"pauseBeforeSeconds": 3}}}, kill_right_after_a_charge),
    ],
    ids=["in the middle of a charge", "right after a charge"],
)
def test_orders_are_carried_out_once_by_workers_of_which_one_was_killed(
    simulation: dict[str, Any], kill: Callable[[Cluster], None], cluster: Cluster
) -> None:
    orders_of(cluster, a_class(cluster, "durable-stock", simulation=simulation), 5)

    kill(cluster)
    cluster.stack.start("worker")

    assert_each_was_carried_out_once(cluster, all_ended(cluster))


def has_a_bug(pid: int) -> bool:
    try:
        return "ORDER_WORKER_SIMULATE_BUG" in psutil.Process(pid).environ()
    except psutil.NoSuchProcess:  # replaced between two looks
        return False


def command(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "order_devstack", "--dir", str(stack.root), "scenario", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=with_ctrl_c,
    )


def test_ctrl_c_in_the_middle_of_a_scenario_leaves_the_worker_as_it_was(cluster: Cluster) -> None:
    def broken() -> bool:
        pid = cluster.stack.pid("worker")
        return pid is not None and has_a_bug(pid)

    playing = command(cluster.stack, "recoverable-failure")
    cluster.until(broken)

    playing.send_signal(signal.SIGINT)
    output, errors = playing.communicate(timeout=PATIENCE_SECONDS)

    assert (playing.returncode, errors) == (130, "order_devstack: interrupted.\n"), output
    worker = cluster.stack.pid("worker")
    assert worker is not None
    assert not has_a_bug(worker)


def test_the_command_plays_a_scenario_and_says_how_to_see_more(cluster: Cluster) -> None:
    playing = command(cluster.stack, "below-threshold")
    output, errors = playing.communicate(timeout=PATIENCE_SECONDS)

    assert (playing.returncode, errors) == (0, ""), output
    assert "it ended as it should" in output
    assert re.search(r"kubectl describe ord order --namespace scenario-below-threshold-\d", output)


def test_without_a_name_the_command_lists_every_scenario_in_a_line(cluster: Cluster) -> None:
    output, _ = command(cluster.stack).communicate(timeout=PATIENCE_SECONDS)

    assert [line.split()[:2] for line in output.splitlines()] == [[s.name, s.system] for s in SCENARIOS.values()]
