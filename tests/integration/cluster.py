"""What a test does to a cluster and waits for, in the words of the product."""

import http.client
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from access import API, ROOT, APIServer

from order_devstack.conditions import condition
from order_devstack.errors import CommandFailed
from order_devstack.platform import ledger_variables
from order_devstack.stack import Stack
from order_operator.cluster.api_names import (
    API_VERSION,
    FINALIZER,
    ORDER_CLASS_KIND,
    ORDER_CLASSES,
    ORDER_KIND,
    STOCK_ITEM_KIND,
)

ORDERS = "orders.order-platform.dev"
STOCK_ITEMS = "stockitems.order-platform.dev"
PLURALS = {
    (API_VERSION, ORDER_KIND): "orders",
    (API_VERSION, ORDER_CLASS_KIND): ORDER_CLASSES,
    (API_VERSION, STOCK_ITEM_KIND): "stockitems",
}
NOT_MADE = {http.HTTPStatus.CONFLICT, http.HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)}
"""It is there already, or the server is about to start."""
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.2


class Cluster:
    """One namespace of a running platform."""

    def __init__(self, stack: Stack, namespace: str) -> None:
        self.stack = stack
        self.namespace = namespace
        stack.kubectl("create", "namespace", namespace)

    def apply(self, name: str = "order", *, total: int = 50_000, **changes: Any) -> None:
        """Apply an order of class `threshold`; `changes` replace fields of its spec, None removes one."""
        spec = {
            "className": "threshold",
            "customer": {"id": "CUST-12345", "email": "ana@example.com"},
            "currency": "USD",
            "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": total}],
            "shippingAddress": {
                "name": "Ana Torres",
                "line1": "1 Main Street",
                "city": "Springfield",
                "postalCode": "62701",
                "country": "US",
            },
            "payment": {"method": "tok_visa"},
            **changes,
        }
        order = {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "Order",
            "metadata": {"name": name},
            "spec": {key: value for key, value in spec.items() if value is not None},
        }
        self.create(order)

    def create(self, manifest: dict[str, Any]) -> None:
        """Apply any object."""
        if not self._made(manifest):
            self.kubectl("apply", "--filename=-", input=json.dumps(manifest))

    def _made(self, manifest: dict[str, Any]) -> bool:
        """Make it as `kubectl apply` makes what is new, without a start of kubectl; False where that is to do it."""
        plural = PLURALS.get((manifest["apiVersion"], manifest["kind"]))
        if plural is None:
            return False
        metadata, applied = manifest["metadata"], "kubectl.kubernetes.io/last-applied-configuration"
        noted = {**metadata, "annotations": {**metadata.get("annotations", {}), applied: json.dumps(manifest)}}
        where = "" if plural == ORDER_CLASSES else f"/namespaces/{self.namespace}"
        options = "fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
        server = APIServer(self.stack)
        try:
            answer = server.send(ROOT, "POST", f"{API}{where}/{plural}?{options}", {**manifest, "metadata": noted})
        except (OSError, http.client.HTTPException):
            return False
        finally:
            server.close()
        if answer.code in NOT_MADE:
            return False
        if answer.message:
            raise CommandFailed(f"POST {plural}", answer.code, "", answer.message)
        return True

    def patient_class(self, **policy: Any) -> str:
        """Name of a class of this namespace whose orders are charged and then wait an hour for their address to be
        confirmed; `policy` are further fields of its spec."""
        name = f"patient-{self.namespace}"
        pipeline = ["Receive", "ReserveStock", "ChargePayment", "AddressWindow", "Ship", "Notify"]
        self.create(
            {
                "apiVersion": "order-platform.dev/v1alpha1",
                "kind": "OrderClass",
                "metadata": {"name": name},
                "spec": {"pipeline": pipeline, "addressWindow": {"seconds": 3600}, **policy},
            }
        )
        return name

    def keep_stock(self, name: str, sku: str, **changes: int) -> None:
        """Apply a StockItem that needs nothing at first; `changes` replace fields of its spec."""
        spec = {"sku": sku, "initialOnHand": 1_000, "minimum": 100, "target": 2_000, **changes}
        self.create(
            {
                "apiVersion": "order-platform.dev/v1alpha1",
                "kind": "StockItem",
                "metadata": {"name": name},
                "spec": spec,
            }
        )

    def patch(self, name: str, *arguments: str, kind: str = ORDERS, **spec: Any) -> None:
        """Merge-patch the spec of an order, or of an object of another kind."""
        body = json.dumps({"spec": spec})
        self.kubectl("patch", kind, name, "--type=merge", "--patch", body, *arguments)

    def create_status(self, name: str, status: dict[str, Any], kind: str = ORDERS) -> None:
        """Replace the status, as an administrator could."""
        order = self.order(name, kind)
        order["status"] = status
        self.stack.kubectl("replace", "--subresource=status", "--filename=-", input=json.dumps(order))

    def api_writes(self, resource: str = "") -> int:
        """Writes of orders and of events so far, as the API server counts them; with `resource`, such as `stockitems`,
        of that alone."""
        page = self.stack.kubectl("get", "--raw", "/metrics")
        return sum(
            int(float(line.rsplit(" ", 1)[1]))
            for line in page.splitlines()
            if line.startswith("apiserver_request_total{")
            and ('group="order-platform.dev"' in line or 'group="events.k8s.io"' in line)
            and re.search(r'verb="(POST|PUT|PATCH|APPLY|DELETE)"', line)
            and (not resource or f'resource="{resource}"' in line)
        )

    def scans(self, kind: str) -> int:
        """How often the operator has looked through Temporal in this way, as it counts itself."""
        return self._counted(rf'scans_total{{kind="{kind}",result="ok"}}')

    def inventories(self) -> int:
        """How often the operator has listed all StockItems, as it counts itself."""
        return self._counted('k8s_requests_total{code="200",resource="stockitems",verb="list"}')

    def undecodable_rows(self) -> int:
        """How many workflows the operator could not read, as it counts itself."""
        return self._counted("undecodable_rows_total")

    def orphans(self) -> int:
        """How many open workflows had no order at the operator's last look."""
        return self._counted("orphans", prefix="orders_")

    def reconciles_under_way(self) -> int:
        """How many resources the operator works on now, as it counts itself."""
        return self._counted(r'inflight_reconciles{handler="[a-z]+"}')

    def _counted(self, metric: str, prefix: str = "orders_operator_") -> int:
        """A number of the operator; `metric` is a pattern without its prefix."""
        with urllib.request.urlopen(self.stack.addresses["operator-metrics"], timeout=5) as answer:  # noqa: S310
            page = answer.read().decode()
        return sum(int(found) for found in re.findall(rf"^{prefix}{metric} (\d+)", page, re.MULTILINE))

    def delete(self, name: str, *arguments: str, kind: str = ORDERS) -> None:
        """Delete an object; returns when it is gone, unless told otherwise."""
        self.kubectl("delete", kind, name, "--timeout=60s", *arguments)

    def lose(self, name: str = "order") -> None:
        """Delete the order without its finalizer, as by force: its workflow stays behind."""
        self.kubectl("patch", ORDERS, name, "--type=merge", "--patch", '{"metadata":{"finalizers":null}}')
        self.delete(name)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - as subprocess spells it
        """kubectl in this namespace."""
        return self.stack.kubectl(*arguments, "--namespace", self.namespace, input=input)

    def order(self, name: str = "order", kind: str = ORDERS) -> dict[str, Any]:
        """The order, or object of another kind, as it is now; empty if there is none."""
        plural, _, group = kind.partition(".")
        try:
            found = self.stack.read(f"/apis/{group}/v1alpha1/namespaces/{self.namespace}/{plural}/{name}")
        except CommandFailed as failed:
            if failed.returncode == http.HTTPStatus.NOT_FOUND:
                return {}
            raise
        found["metadata"].pop("managedFields", None)
        return found

    def status(self, name: str = "order", kind: str = ORDERS) -> dict[str, Any]:
        """The status as it is now."""
        status: dict[str, Any] = self.order(name, kind).get("status") or {}
        return status

    def eventually(
        self,
        holds: Callable[[dict[str, Any]], bool],
        name: str = "order",
        seconds: float = PATIENCE_SECONDS,
        kind: str = ORDERS,
    ) -> dict[str, Any]:
        """The status of an order, or of an object of another kind, once `holds` is true of it."""
        deadline = time.monotonic() + seconds
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                status = self.status(name, kind)
            except CommandFailed:
                status = {"unreadable": True}
            if holds(status):
                return status
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"{kind} {name} did not get there in {seconds:.0f} s; its status is {json.dumps(status)}")

    def reaches(self, phase: str, name: str = "order") -> dict[str, Any]:
        """The order's status once it is in `phase`."""
        return self.eventually(lambda status: status.get("phase") == phase, name)

    def until(self, holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Return once `holds` is true of anything else in the cluster."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
            time.sleep(POLL_SECONDS)

    def until_held(self, name: str = "order") -> None:
        """Return once the order carries the operator's finalizer, as one does that is five seconds old. A younger one
        that is deleted is undone after its resource has gone."""
        self.until(lambda: self.order(name)["metadata"].get("finalizers") == [FINALIZER])

    def events(self, name: str) -> list[str]:
        """Reasons of the events about the order."""
        listed = json.loads(self.kubectl("get", "events.events.k8s.io", "--output=json"))
        return [item["reason"] for item in listed["items"] if item["regarding"]["name"] == name]

    def condition(self, kind: str, name: str = "order") -> dict[str, Any]:
        """One condition of the order as it is now; empty if it is not there."""
        return condition(self.status(name), kind)

    def workflow(self, identifier: str) -> dict[str, Any]:
        """Temporal's own description of a workflow."""
        text = self.stack.temporal("workflow", "describe", "--workflow-id", identifier, "--output", "json")
        described: dict[str, Any] = json.loads(text)
        return described

    def workflows(self) -> list[str]:
        """Ids of all workflows that orders of this namespace ever had."""
        query = f"WorkflowId STARTS_WITH 'order/{self.namespace}/'"
        text = self.stack.temporal("workflow", "list", "--query", query, "--output", "json")
        return [item["execution"]["workflowId"] for item in json.loads(text)]

    def charges(self) -> dict[str, tuple[int, int]]:
        """What the payment provider itself has on record for the orders of this namespace whose workflows Temporal has:
        uid -> (captured, refunded), in minor units."""
        return self.charges_of([item.rsplit("/", 1)[1] for item in self.workflows()])

    def charges_of(self, uids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """The same of these orders, whatever Temporal has."""
        store = sqlite3.connect(f"file:{self.stack.root / 'data' / 'providers.db'}?mode=ro", uri=True)
        try:
            charged = store.execute("SELECT key, amount_minor FROM charges WHERE state = 'captured'").fetchall()
            refunded = store.execute("SELECT charge_key, amount_minor FROM refunds").fetchall()
        finally:
            store.close()
        return {
            uid: (
                sum(amount for key, amount in charged if key.startswith(uid)),
                sum(amount for key, amount in refunded if key.startswith(uid)),
            )
            for uid in uids
        }

    def audit(self) -> str:
        """What `order-worker verify-audit` says of the ledger."""
        return self.worker_command("verify-audit")

    def reconcile(self) -> str:
        """What `order-worker reconcile` says of the ledger and the payment provider."""
        return self.worker_command("reconcile")

    def worker_command(self, *arguments: str) -> str:
        """What `order-worker` says, given these arguments."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "order_worker", *arguments],
            env={**os.environ, **ledger_variables(self.stack.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def identity(self) -> str:
        """Of this cluster's installation."""
        return self.stack.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")

    def audit_of(self, name: str) -> list[str]:
        """The kinds of the events in the audit trail of an order's first row in the ledger."""
        ledger = sqlite3.connect(f"file:{self.stack.root / 'data' / 'ledger.db'}?mode=ro", uri=True)
        query = (
            "SELECT kind FROM audit_events WHERE order_uid ="
            " (SELECT uid FROM orders WHERE namespace = ? AND name = ? ORDER BY created_at LIMIT 1) ORDER BY seq"
        )
        try:
            return [kind for (kind,) in ledger.execute(query, (self.namespace, name))]
        finally:
            ledger.close()

    def stock(self, sku: str = "PROD-001") -> dict[str, int]:
        """The ledger's row of one article."""
        ledger = sqlite3.connect(f"file:{self.stack.root / 'data' / 'ledger.db'}?mode=ro", uri=True)
        ledger.row_factory = sqlite3.Row
        try:
            return dict(ledger.execute("SELECT * FROM stock WHERE sku = ?", (sku,)).fetchone())
        finally:
            ledger.close()

    def supplier_orders(self, sku: str) -> list[int]:
        """Pieces of every order for an article that the supplier itself has on record, in the order of their coming."""
        store = sqlite3.connect(f"file:{self.stack.root / 'data' / 'providers.db'}?mode=ro", uri=True)
        try:
            found = store.execute("SELECT quantity FROM supplier_orders WHERE sku = ? ORDER BY at", (sku,)).fetchall()
        finally:
            store.close()
        return [quantity for (quantity,) in found]
