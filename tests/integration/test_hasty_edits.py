"""Edits that come at once after the creation, or many at a time: the last one is in force, and told as observed."""

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cluster import Cluster
from order_history import OrderHistory
from traffic import DEAR, nothing_wrong
from wiring import Wiring

pytestmark = pytest.mark.long

API = "/apis/order-platform.dev/v1alpha1"


class Client:
    """Of the API server, quicker than kubectl."""

    def __init__(self, shop: Cluster) -> None:
        config = json.loads(shop.stack.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._orders = f"{cluster['server']}{API}/namespaces/{shop.namespace}/orders"
        self._trusted = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        self._token = user["token"]

    def create(self, order: dict[str, Any]) -> None:
        self._send("POST", self._orders, order, "application/json")

    def patch(self, name: str, change: dict[str, Any]) -> None:
        self._send("PATCH", f"{self._orders}/{name}", change, "application/merge-patch+json")

    def _send(self, method: str, url: str, body: dict[str, Any], kind: str) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        request = urllib.request.Request(url, method=method, data=json.dumps(body).encode(), headers=headers)  # noqa: S310
        while True:
            try:
                urllib.request.urlopen(request, context=self._trusted, timeout=60).close()  # noqa: S310
                break
            except urllib.error.HTTPError as refused:
                if refused.code != 409:  # which the API server gives up after five writers that were quicker
                    raise


def test_an_edit_right_after_the_creation_is_not_lost(wired: Wiring, shop: Cluster, history: OrderHistory) -> None:
    shop.apply("pattern", total=DEAR)
    spec = shop.order("pattern")["spec"]
    client, names = Client(shop), [f"order-{number}" for number in range(30)]
    twice = {"spec": {"lines": [{**spec["lines"][0], "quantity": 2}]}}
    head = {"apiVersion": "order-platform.dev/v1alpha1", "kind": "Order"}

    for number, name in enumerate(names):
        client.create({**head, "metadata": {"name": name}, "spec": spec})
        time.sleep(number * 0.002)  # up to 60 ms: which the spread is about, not a wait for anything
        client.patch(name, twice)

    for name in names:
        status = shop.eventually(lambda status: status.get("observedGeneration") == 2, name)
        status = shop.eventually(lambda status: status.get("totalMinor") == 2 * DEAR, name)
        assert status["phase"] == "Waiting"
    nothing_wrong(shop, history, dict.fromkeys(["pattern", *names], 0))


def test_of_twenty_writers_the_last_one_is_in_force_and_labels_reach_no_workflow(
    wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    shop.apply(total=DEAR)
    identifier = shop.reaches("Waiting")["workflow"]["id"]
    client = Client(shop)

    def write(number: int) -> None:
        client.patch("order", {"spec": {"shippingAddress": {"line1": f"{number} Main Street"}}})
        client.patch("order", {"metadata": {"labels": {"writer": str(number)}}})

    with ThreadPoolExecutor(20) as writers:
        list(writers.map(write, range(20)))

    order = shop.order()
    shop.eventually(lambda status: status["observedGeneration"] == order["metadata"]["generation"])
    assert shop.status()["shippingAddress"]["line1"] == order["spec"]["shippingAddress"]["line1"]
    told = updates(shop, identifier)
    assert told <= 20
    client.patch("order", {"metadata": {"labels": {"writer": "none"}}})
    shop.apply("after")
    shop.reaches("Completed", "after")
    assert updates(shop, identifier) == told
    nothing_wrong(shop, history, {"order": 0, "after": 50_000})


def updates(shop: Cluster, identifier: str) -> int:
    """How many Updates the workflow has accepted."""
    return shop.stack.temporal("workflow", "show", "--workflow-id", identifier).count("WorkflowExecutionUpdateAccepted")
