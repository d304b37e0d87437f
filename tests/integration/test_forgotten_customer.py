"""A customer who asks to be forgotten: by both commands nothing but money is left of them."""

import os
import sqlite3
import subprocess
import sys

from cluster import Cluster

from order_devstack.platform import ledger_variables

CUSTOMER = "CUST-FORGOTTEN"


def run(cluster: Cluster, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of a program, as a person runs it."""
    variables = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(cluster.stack.kubeconfig),
        "TEMPORAL_ADDRESS": cluster.stack.addresses["temporal"],
        "ORDER_OPERATOR_NAMESPACES": cluster.namespace,
        **ledger_variables(cluster.stack.root),
    }
    command = [sys.executable, "-P", "-m", program, *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def in_the_ledger(cluster: Cluster, uid: str) -> str:
    """All rows of an order, as text."""
    store = sqlite3.connect(f"file:{cluster.stack.root / 'data' / 'ledger.db'}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for table in tables for row in store.execute(f"SELECT * FROM {table}")]  # noqa: S608
    finally:
        store.close()
    return "\n".join(str(row) for row in rows if uid in str(row))


def test_a_forgotten_customer_is_in_no_resource_and_no_history_and_the_money_stays(cluster: Cluster) -> None:
    cluster.apply("forgotten", customer={"id": CUSTOMER, "email": "forgotten@example.com"})
    cluster.apply("kept")
    uid = cluster.reaches("Completed", "forgotten")["workflow"]["id"].rsplit("/", 1)[1]
    cluster.reaches("Completed", "kept")

    erased = run(cluster, "order_worker", "erase-customer", CUSTOMER)
    forgotten = run(cluster, "order_operator", "forget-customer", CUSTOMER, "--namespace", "shipping")

    assert erased.returncode == 0, erased.stderr
    assert forgotten.returncode == 0, forgotten.stdout + forgotten.stderr
    cluster.until(lambda: cluster.order("forgotten") == {})
    cluster.until(lambda: not any(uid in identifier for identifier in cluster.workflows()))
    assert cluster.status("kept")["phase"] == "Completed"
    assert len(cluster.workflows()) == 1
    left = in_the_ledger(cluster, uid)
    assert CUSTOMER not in left
    assert "forgotten@example.com" not in left
    assert "Ana Torres" not in left
    assert cluster.charges_of([uid]) == {uid: (50_000, 0)}


def test_an_order_under_way_keeps_what_it_needs_and_is_named(cluster: Cluster) -> None:
    cluster.apply("waiting", total=150_000, customer={"id": "CUST-WAITING", "email": "waiting@example.com"})
    cluster.reaches("Waiting", "waiting")

    forgotten = run(cluster, "order_operator", "forget-customer", "CUST-WAITING")

    assert forgotten.returncode == 1
    assert f"{cluster.namespace}/waiting: under way" in forgotten.stdout
    assert cluster.status("waiting")["phase"] == "Waiting"


def test_a_forged_end_does_not_take_the_history_of_an_order_that_is_under_way(cluster: Cluster) -> None:
    """The operator puts the status right; until then it lies."""
    cluster.apply("forged", total=150_000, customer={"id": "CUST-FORGED", "email": "forged@example.com"})
    cluster.reaches("Waiting", "forged")
    cluster.stack.stop("operator")
    try:
        forged = {"phase": "Completed", "orderStatus": "Order Completed"}
        cluster.create_status("forged", {**cluster.status("forged"), **forged})

        forgotten = run(cluster, "order_operator", "forget-customer", "CUST-FORGED")
    finally:
        cluster.stack.start("operator")

    assert forgotten.returncode == 1
    assert f"{cluster.namespace}/forged: under way" in forgotten.stdout
    assert cluster.reaches("Waiting", "forged")["workflow"]["id"] in cluster.workflows()
