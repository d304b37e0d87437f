"""Resources made from the CRDs, with faults and without: each is refused by the name of a field or gets a status, and
nobody else waits for it."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from cluster import ORDERS, STOCK_ITEMS, Cluster
from generated_resources import Faulty, Spec, faulty, valid
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from order_operator.cluster.api_names import API_VERSION

PLURALS = {"Order": "orders", "StockItem": "stockitems", "OrderClass": "orderclasses"}
EXAMPLES = [
    pytest.param(40, id="few"),
    pytest.param(500, marks=pytest.mark.long, id="many"),
]


def drawn(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The same examples every time, so that what fails in CI fails here; what is on the cluster is not shrunk."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )


class Door:
    """The API server as programs reach it: strict about unknown fields, and told nothing by kubectl."""

    def __init__(self, cluster: Cluster) -> None:
        known = json.loads(cluster.stack.kubeconfig.read_text())
        server = known["clusters"][0]["cluster"]
        self._server = server["server"]
        self._token = known["users"][0]["user"]["token"]
        self._namespace = cluster.namespace
        self._trust = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
        self._numbers = count(1)
        self.accepted: list[str] = []
        """Names of what is there now."""
        self.refused: list[str] = []
        """What the API server said of the rest."""

    def create(self, kind: str, spec: Any) -> str:
        """Its refusal; empty if there is none."""
        name = f"drawn-{next(self._numbers)}"
        where = "" if kind == "OrderClass" else f"/namespaces/{self._namespace}"
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": lasting(spec)}
        refusal = self._send("POST", f"{where}/{PLURALS[kind]}", body, "application/json")
        (self.refused if refusal else self.accepted).append(refusal or name)
        return refusal

    def edit(self, name: str, **spec: Any) -> str:
        """The refusal of an edit of an order."""
        path = f"/namespaces/{self._namespace}/orders/{name}"
        return self._send("PATCH", path, {"spec": spec}, "application/merge-patch+json")

    def _send(self, method: str, path: str, body: Any, kind: str) -> str:
        request = urllib.request.Request(  # noqa: S310 - the stack's own API server
            f"{self._server}/apis/{API_VERSION}{path}?fieldValidation=Strict",
            data=json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": kind, "Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, context=self._trust, timeout=30):  # noqa: S310
                return ""
        except urllib.error.HTTPError as refused:
            with refused:
                return str(json.loads(refused.read())["message"])


@pytest.fixture
def door(cluster: Cluster) -> Door:
    return Door(cluster)


@pytest.fixture
def undisturbed(cluster: Cluster) -> Any:
    """The operator is the same process at the end, and has written no traceback meanwhile."""
    log = cluster.stack.root / "log" / "operator.log"
    before, told = cluster.stack.pid("operator"), log.stat().st_size
    yield
    with log.open() as lines:
        lines.seek(told)
        raised = [line for line in lines if '"exception"' in line or "Traceback" in line]
    assert raised == []
    assert cluster.stack.pid("operator") == before


def lasting(spec: Spec) -> Spec:
    """None is deleted for its age before the test has seen it."""
    return {**spec, **({"ttlSecondsAfterFinished": 3_600} if spec.get("ttlSecondsAfterFinished") == 0 else {})}


def unanswered(cluster: Cluster, names: list[str], kind: str = ORDERS) -> list[str]:
    """Those that have no status of the operator's yet."""
    found = {
        item["metadata"]["name"]: item.get("status") or {}
        for item in json.loads(cluster.kubectl("get", kind, "--output=json"))["items"]
    }
    return [name for name in names if not is_answered(found.get(name, {}))]


def is_answered(status: dict[str, Any]) -> bool:
    """The operator has said something of it: that it cannot be carried out, or how far it is."""
    return bool(status.get("conditions")) and "observedGeneration" in status


@pytest.mark.parametrize("examples", EXAMPLES)
def test_orders_with_faults_are_refused_by_field_or_answered_and_a_plain_one_completes_among_them(
    examples: int, cluster: Cluster, door: Door, undisturbed: None
) -> None:
    @drawn(examples)
    @given(faulty("Order") | faulty("Order", most=5))
    def send(order: Faulty) -> None:
        refusal = door.create("Order", order.spec)
        assert "spec" in refusal or not refusal
        assert refusal or any(fault.may_pass for fault in order.faults), order.faults

    send()
    cluster.apply("plain")
    cluster.reaches("Completed", "plain")

    still_there = json.loads(cluster.kubectl("get", ORDERS, "--output=json"))["items"]
    assert {item["metadata"]["name"] for item in still_there} == {*door.accepted, "plain"}
    cluster.until(lambda: not unanswered(cluster, door.accepted))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_orders_that_the_schema_allows_are_accepted_and_answered_and_a_plain_one_completes_among_them(
    examples: int, cluster: Cluster, door: Door, undisturbed: None
) -> None:
    @drawn(examples)
    @given(valid("Order"))
    def send(spec: Spec) -> None:
        assert door.create("Order", spec) == ""

    send()
    cluster.apply("plain")
    cluster.reaches("Completed", "plain")

    cluster.until(lambda: not unanswered(cluster, door.accepted))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_stock_items_are_refused_by_field_or_answered(
    examples: int, cluster: Cluster, door: Door, undisturbed: None
) -> None:
    @drawn(examples)
    @given(valid("StockItem").map(lambda spec: Faulty(spec, ())) | faulty("StockItem", most=3))
    def send(item: Faulty) -> None:
        refusal = door.create("StockItem", item.spec)
        assert "spec" in refusal or not refusal

    send()

    cluster.until(lambda: not unanswered(cluster, door.accepted, STOCK_ITEMS))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_classes_are_refused_by_field_or_orders_that_follow_them_are_answered(
    examples: int, cluster: Cluster, door: Door, undisturbed: None
) -> None:
    @drawn(examples)
    @given(valid("OrderClass").map(lambda spec: Faulty(spec, ())) | faulty("OrderClass", most=3))
    def send(drawn_class: Faulty) -> None:
        refusal = door.create("OrderClass", drawn_class.spec)
        assert "spec" in refusal or not refusal

    send()
    classes = list(door.accepted)
    try:
        for name in classes:
            cluster.apply(name, className=name, retry=0)
        cluster.until(lambda: not unanswered(cluster, classes))
    finally:
        for name in classes:
            cluster.stack.kubectl("delete", "orderclass", name)


FIXED = ("orderID", "className", "customer", "currency", "payment")


@pytest.mark.parametrize("examples", EXAMPLES)
def test_an_edit_of_what_is_fixed_is_refused_by_its_name(examples: int, cluster: Cluster, door: Door) -> None:
    cluster.apply("fixed", orderID="FIXED", suspend=True)
    spec = cluster.order("fixed")["spec"]

    @drawn(examples)
    @given(valid("Order"), st.sampled_from(FIXED))
    def edit(another: Spec, field: str) -> None:
        assume(field in another and another[field] != spec[field])
        assert f"spec.{field}" in door.edit("fixed", **{field: another[field]})

    edit()
