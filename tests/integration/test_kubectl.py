"""What people do with kubectl, beside applying and deleting."""

import json
import re
import shlex
from typing import Any

import pytest
from cluster import ORDERS, STOCK_ITEMS, Cluster
from pages import sections


def names(listed: str) -> list[str]:
    return [item["metadata"]["name"] for item in json.loads(listed)["items"]]


@pytest.fixture
def waiting(cluster: Cluster) -> Cluster:
    """With an order that waits and one that has completed."""
    cluster.apply(total=150_000)
    cluster.apply("done", className="threshold")
    cluster.reaches("Waiting")
    cluster.reaches("Completed", "done")
    return cluster


@pytest.fixture
def other_kind(cluster: Cluster) -> Any:
    """A kind of somebody else whose plural is `orders`, as cert-manager has one."""
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "orders.acme.example"},
        "spec": {
            "group": "acme.example",
            "scope": "Namespaced",
            "names": {"plural": "orders", "singular": "order", "kind": "Order"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    cluster.create(definition)
    cluster.stack.kubectl("wait", "--for=condition=Established", "crd/orders.acme.example", "--timeout=60s")
    yield
    cluster.stack.kubectl("delete", "crd", "orders.acme.example")


def test_orders_are_selected_by_phase_status_class_and_customer_on_the_server(waiting: Cluster) -> None:
    by = {
        "status.phase=Waiting": ["order"],
        "status.orderStatus=Order Completed": ["done"],
        "spec.className=threshold": ["done", "order"],
        "spec.customer.id=CUST-12345": ["done", "order"],
        "spec.customer.id=nobody": [],
    }
    for selector, found in by.items():
        listed = waiting.kubectl("get", "ord", f"--field-selector={selector}", "--output=json")
        assert sorted(names(listed)) == found, selector


def test_the_commands_of_the_readme_list_what_waits_for_a_decision_and_what_for_a_repair(waiting: Cluster) -> None:
    """Also an order that waits for stock is in the phase Waiting, and nobody can do anything about it."""
    sku = f"SHORT-{waiting.namespace}"
    waiting.keep_stock("item", sku, initialOnHand=1, minimum=0, target=1)
    waiting.until(lambda: waiting.status("item", kind=STOCK_ITEMS).get("onHand") == 1)
    line = {"lineID": "1", "sku": sku, "quantity": 2, "unitPriceMinor": 1}
    waiting.apply("short", className="durable-stock", lines=[line])
    waiting.eventually(lambda status: status.get("orderStatus") == "Await Stock", "short")
    answers = sections("README.md")["What it answers"]

    decide, repair = (shlex.split(command) for command in re.findall(r"`kubectl (get ord .+?)`", answers))

    _header, *rows = waiting.kubectl(*decide).splitlines()
    assert [row.split()[0] for row in rows] == ["order"]
    assert re.search(r"waits for approval of 1500\.00 USD until .+, then expires", rows[0])
    assert waiting.kubectl(*repair) == ""


def test_the_columns_say_where_an_order_stands_and_why(waiting: Cluster) -> None:
    header, *rows = waiting.kubectl("get", "ord").splitlines()

    assert header.split()[:5] == ["NAME", "PHASE", "STATUS", "PROGRESS", "TOTAL"]
    (row,) = (row for row in rows if row.startswith("order"))
    assert "Waiting" in row
    assert "1500.00 USD" in row


def test_the_category_lists_orders_and_articles_together(waiting: Cluster) -> None:
    waiting.keep_stock("item", f"KUBECTL-{waiting.namespace}")

    listed = waiting.kubectl("get", "order-platform", "--output=name").split()

    assert {f"order.{ORDERS.partition('.')[2]}/order", f"stockitem.{ORDERS.partition('.')[2]}/item"} <= set(listed)


def test_two_managers_each_keep_their_line(waiting: Cluster) -> None:
    def line(number: str) -> str:
        lines = [{"lineID": number, "sku": "PROD-002", "quantity": 1, "unitPriceMinor": 100}]
        order = {"apiVersion": "order-platform.dev/v1alpha1", "kind": "Order", "metadata": {"name": "order"}}
        return json.dumps({**order, "spec": {"lines": lines}})

    for number in ("a", "b"):
        waiting.kubectl("apply", "--server-side", f"--field-manager={number}", "--filename=-", input=line(number))

    assert {item["lineID"] for item in waiting.order()["spec"]["lines"]} == {"1", "a", "b"}
    waiting.eventually(lambda status: status.get("totalMinor") == 150_200)


def test_defaults_are_there_to_be_read_before_any_operator_looks(waiting: Cluster) -> None:
    assert waiting.order()["spec"]["deletionPolicy"] == "Cancel"


def test_an_event_names_the_order_what_was_done_and_who_did_it(waiting: Cluster) -> None:
    waiting.eventually(lambda _: waiting.events("order") != [])

    listed = json.loads(waiting.kubectl("get", "events.events.k8s.io", "--output=json"))
    (event,) = (item for item in listed["items"] if item["regarding"]["name"] == "order")
    assert event["regarding"]["uid"] == waiting.order()["metadata"]["uid"]
    assert event["action"] == "ReflectWorkflow"
    assert "order-platform" in event["reportingController"]


def test_a_kind_of_somebody_else_with_the_same_plural_is_left_alone(cluster: Cluster, other_kind: None) -> None:
    cluster.create({"apiVersion": "acme.example/v1", "kind": "Order", "metadata": {"name": "theirs"}, "spec": {"x": 1}})

    cluster.apply()
    cluster.reaches("Completed")

    assert names(cluster.kubectl("get", "ord", "--output=json")) == ["order"]
    theirs = json.loads(cluster.kubectl("get", "orders.acme.example", "theirs", "--output=json"))
    assert "status" not in theirs
    assert "finalizers" not in theirs["metadata"]
