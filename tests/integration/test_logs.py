"""The logs of both programs: one order can be followed through them, and no person is in them."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from cluster import Cluster

PROGRAMS = ("operator", "worker", "shipping-worker", "nexus-worker")
MOST_LINES = 10
"""Of an order that goes well, in the logs of all programs together."""

PLANTED = {
    "name": "Zenobia Quirke",
    "line1": "7 Weasel Lane",
    "city": "Shrewsburyville",
    "postalCode": "QX9 4ZZ",
}
MAIL = "zenobia@quirke.example.com"
APPROVER = "bartholomew.ogg"
CARD = "4242424242424242"


class Logs:
    """What the programs write from now on."""

    def __init__(self, cluster: Cluster) -> None:
        self._files = [cluster.stack.root / "log" / f"{program}.log" for program in PROGRAMS]
        self._begin = {file: file.stat().st_size for file in self._files if file.exists()}
        self._cluster = cluster

    def text(self) -> str:
        """All of it."""
        return "".join(file.read_text()[start:] for file, start in self._begin.items())

    def lines(self) -> list[dict[str, Any]]:
        """Each an object, in the order of time."""
        found = [json.loads(line) for line in self.text().splitlines()]
        return sorted(found, key=lambda line: str(line["time"]))

    def of(self, name: str) -> list[dict[str, Any]]:
        """Those about one order."""
        return [line for line in self.lines() if (line.get("namespace"), line.get("name")) == self._about(name)]

    def told(self, name: str) -> list[str]:
        """The messages about one order."""
        return [line["message"] for line in self.of(name)]

    def _about(self, name: str) -> tuple[str, str]:
        return self._cluster.namespace, name


@pytest.fixture
def logs(cluster: Cluster) -> Iterator[Logs]:
    return Logs(cluster)


def test_an_order_that_goes_well_is_told_of_by_both_programs_in_few_lines(cluster: Cluster, logs: Logs) -> None:
    cluster.apply()
    cluster.reaches("Completed")
    cluster.until(lambda: logs.told("order").count("ended") == 2)

    uid = cluster.order()["metadata"]["uid"]
    told = logs.of("order")
    assert {line["uid"] for line in told} == {uid}
    assert {line["workflowID"] for line in told} == {f"order/{cluster.namespace}/order/{uid}"}
    assert len({line["runID"] for line in told}) == 1
    assert {datetime.fromisoformat(line["time"]).utcoffset() for line in told} == {timedelta(0)}
    assert {"workflow started", "started", "ended"} <= set(logs.told("order"))
    assert len(told) <= MOST_LINES


def test_an_order_can_be_followed_from_its_start_to_its_deletion(cluster: Cluster, logs: Logs) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")
    address = {"name": "B", "line1": "2 Main Street", "city": "C", "postalCode": "1", "country": "US"}
    cluster.patch("order", shippingAddress=address)
    cluster.until(lambda: "address_changed" in logs.told("order"))
    line = {"lineID": "1", "sku": "PROD-001", "quantity": 2, "unitPriceMinor": 150_000}
    cluster.patch("order", lines=[line])
    cluster.until(lambda: "lines_changed" in logs.told("order"))
    cluster.patch("order", suspend=True)
    cluster.reaches("Suspended")
    cluster.patch("order", suspend=False)
    cluster.reaches("Waiting")
    cluster.patch("order", approval={"decision": "Approved", "by": APPROVER, "totalMinor": 300_000})
    cluster.reaches("Completed")
    cluster.until(lambda: logs.told("order").count("ended") == 2)
    cluster.delete("order")
    cluster.until(lambda: "deleted" in logs.told("order"))

    told = logs.told("order")
    course = ["started", "address_changed", "lines_changed", "suspended", "resumed", "approved", "ended", "deleted"]
    assert [message for message in dict.fromkeys(told) if message in course] == course
    edits = [line["group"] for line in logs.of("order") if line["message"] == "edit accepted"]
    assert {"shippingAddress", "approval"} <= set(edits)


def test_what_is_undone_is_told_of(cluster: Cluster, logs: Logs) -> None:
    cluster.apply(payment={"method": "tok_chargeDeclined"})
    cluster.reaches("Failed")
    cluster.until(lambda: logs.told("order").count("ended") == 2)

    assert "ReserveStock" in [line.get("step") for line in logs.of("order") if line["message"] == "undone"]


FLAKY = {
    "apiVersion": "order-platform.dev/v1alpha1",
    "kind": "OrderClass",
    "metadata": {"name": "logged-flaky"},
    "spec": {
        "pipeline": ["Receive", "Validate", "ChargePayment", "Ship"],
        "retry": {"default": {"initialSeconds": 1, "coefficient": 1}},
        "simulation": {"steps": {"ChargePayment": {"failAttempts": 2}}},
    },
}


def test_an_attempt_that_failed_is_told_of_in_one_line_with_its_cause(cluster: Cluster, logs: Logs) -> None:
    cluster.create(FLAKY)
    cluster.apply(className="logged-flaky")
    cluster.reaches("Completed")
    cluster.until(lambda: logs.told("order").count("ended") == 2)

    failed = [line for line in logs.of("order") if line["message"] == "attempt failed"]
    assert [(line["activity"], line["attempt"], line["cause"]) for line in failed] == [
        ("charge_payment", attempt, "ProviderUnavailable") for attempt in (1, 2)
    ]
    assert not any("exception" in line for line in failed)


def test_no_line_names_a_person(cluster: Cluster, logs: Logs) -> None:
    customer = {"id": "CUST-1", "email": MAIL}
    address = {**PLANTED, "country": "US"}
    cluster.apply("good", customer=customer, shippingAddress=address)
    cluster.apply("declined", customer=customer, shippingAddress=address, payment={"method": "tok_chargeDeclined"})
    cluster.apply("approved", total=150_000, customer=customer, shippingAddress=address)
    cluster.reaches("Completed", "good")
    cluster.reaches("Failed", "declined")
    cluster.reaches("Waiting", "approved")
    cluster.patch("approved", approval={"decision": "Approved", "by": APPROVER, "reason": f"{CARD} is {MAIL}"})
    cluster.reaches("Completed", "approved")
    cluster.patch("approved", cancellation={"by": APPROVER})  # too late
    cluster.until(lambda: logs.told("approved").count("ended") == 2)

    text = logs.text()
    assert [word for word in (*PLANTED.values(), MAIL, APPROVER, CARD) if word in text] == []
