"""Orders of one namespace, and what must be true of them whatever happened to the pods meanwhile."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from installation import RELEASE, Installation

from order_devstack.cluster.backing_servers import LEDGER
from order_domain.status import TERMINAL_PHASES, Phase

TOTAL = 4_200
"""What each order costs, in minor units."""
SKU = "PROD-001"
SLOW, FAST, SHIPPED_ELSEWHERE = "slow", "standard", "shipped-elsewhere"
"""Classes: an order of the first takes six seconds, three of them while it is charged and three while it is shipped;
one of the last is shipped by workers of their own."""
END_SECONDS = 180.0
ENDED_OTHERWISE = TERMINAL_PHASES - {Phase.COMPLETED} | {Phase.COMPENSATING, Phase.MANUAL_REVIEW}
_PIPELINE = ["Receive", "Validate", "CheckFraud", "ReserveStock", "ChargePayment", "Ship", "Notify"]
_SLOW_STEPS = {"ChargePayment": {"latencySeconds": 3}, "Ship": {"latencySeconds": 3}}
ORDERS = "orders.order-platform.dev"


class Shop:
    """One namespace of a platform."""

    def __init__(self, platform: Installation, namespace: str) -> None:
        self._platform = platform
        self.namespace = namespace
        platform.node.kubectl("create", "namespace", namespace)

    def place(
        self,
        count: int,
        *,
        of: str = SLOW,
        prefix: str = "order",
        sku: str = SKU,
        total: int = TOTAL,
        **spec: Any,
    ) -> list[str]:
        """Apply orders all at once, with further fields of `spec`; returns their names."""
        names = [f"{prefix}-{number}" for number in range(count)]
        items = [self._order(name, of, sku, total, spec) for name in names]
        self.kubectl("apply", "--filename=-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        return names

    def kubectl(self, *arguments: str, input: str = "") -> str:  # noqa: A002 - as subprocess spells it
        """In this namespace."""
        return self._platform.node.kubectl("--namespace", self.namespace, *arguments, input=input)

    def token(self, *roles: str) -> str:
        """Of a new service account that has these of the chart's roles here."""
        account = "-".join(roles) or "stranger"
        self.kubectl("create", "serviceaccount", account)
        for role in roles:
            who = (f"--clusterrole={RELEASE}-{role}", f"--serviceaccount={self.namespace}:{account}")
            self.kubectl("create", "rolebinding", f"{account}-{role}", *who)
        return self.kubectl("create", "token", account).strip()

    def patch(self, name: str, **spec: Any) -> None:
        """Change an order."""
        self.kubectl("patch", ORDERS, name, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def orders(self) -> dict[str, dict[str, Any]]:
        """All orders by name."""
        listed = json.loads(self.kubectl("get", ORDERS, "--output=json"))["items"]
        return {order["metadata"]["name"]: order for order in listed}

    def phases(self) -> dict[str, str]:
        """Order -> phase; empty before the operator has seen it."""
        return {name: (order.get("status") or {}).get("phase", "") for name, order in self.orders().items()}

    def held_up_by(self) -> dict[str, str]:
        """Order -> reason of its condition Reconciling; empty without one."""
        return {
            name: condition["reason"] if condition["status"] == "True" else ""
            for name, order in self.orders().items()
            for condition in (order.get("status") or {}).get("conditions", [])
            if condition["type"] == "Reconciling"
        }

    def are_under_way(self, count: int = 1) -> None:
        """Wait until so many orders are on their way and have not ended."""
        self._platform.until(
            lambda: sum(phase == "Running" for phase in self.phases().values()) >= count, f"{count} orders under way"
        )

    def complete(self, names: Sequence[str], within_seconds: float = END_SECONDS) -> None:
        """Wait until all of these are Completed; one that ends otherwise fails at once."""

        def all_completed() -> bool:
            phases = self.phases()
            # Not those that wait: what was decided a moment ago may not be shown yet.
            other = {name: phases[name] for name in names if phases[name] in ENDED_OTHERWISE}
            assert not other, f"orders ended otherwise: {other}"
            return all(phases[name] == "Completed" for name in names)

        try:
            self._platform.until(all_completed, "all orders Completed", within_seconds)
        except AssertionError as failed:
            open_ones = {
                name: self.orders()[name].get("status") for name in names if self.phases()[name] != "Completed"
            }
            raise AssertionError(f"{failed}\nopen orders: {json.dumps(open_ones)[:3000]}") from None

    def nothing_is_lost_or_twice(self, names: Sequence[str]) -> None:
        """Each order has one workflow and was paid once and in full, as the payment provider itself has it; the stock
        adds up; the audit trail has no flaws."""
        uids = {order["metadata"]["uid"]: name for name, order in self.orders().items()}
        assert set(names) <= set(uids.values())
        expected = sorted(f"order/{self.namespace}/{name}/{uid}" for uid, name in uids.items())
        self._platform.until(lambda: self._workflows() == expected, "one workflow for each order in visibility")
        paid = self._paid()
        assert {name: paid.get(uid, []) for uid, name in uids.items() if name in names} == {
            name: [TOTAL] for name in names
        }
        for row in self._query("SELECT * FROM stock"):
            assert row["on_hand"] + row["reserved"] + row["sold"] == row["initial"] + row["restocked"], row
        assert "no flaws" in self._platform.worker_says("order-worker", "verify-audit")

    def uids(self) -> list[str]:
        """Of all orders."""
        return [order["metadata"]["uid"] for order in self.orders().values()]

    def kept(self, uids: Sequence[str]) -> dict[str, int]:
        """Order uid -> what the payment provider took and did not give back, in minor units."""
        paid = self._paid()
        return {uid: sum(paid.get(uid, [])) for uid in uids}

    def attempts(self) -> dict[str, Any]:
        """What the histories of this namespace's orders tell of tasks that were repeated or timed out."""
        return self._platform.attempts(f"WorkflowId STARTS_WITH 'order/{self.namespace}/'")

    def running_workflows(self) -> int:
        """How many workflows of this namespace have not ended."""
        query = f"WorkflowId STARTS_WITH 'order/{self.namespace}/' AND ExecutionStatus = 'Running'"
        return len(self._platform.workflows(query))

    def _workflows(self) -> list[str]:
        query = f"WorkflowId STARTS_WITH 'order/{self.namespace}/'"
        return sorted(item["execution"]["workflowId"] for item in self._platform.workflows(query))

    def _paid(self) -> dict[str, list[int]]:
        """Order uid -> every charge less what was given back of it, in minor units."""
        charges = self._query(
            "SELECT key, amount_minor - coalesce((SELECT sum(amount_minor) FROM simulated_providers.refunds"
            " WHERE charge_key = charges.key), 0) AS kept FROM simulated_providers.charges WHERE state = 'captured'"
        )
        paid: dict[str, list[int]] = {}
        for charge in charges:
            paid.setdefault(charge["key"].partition("/")[0], []).append(int(charge["kept"]))
        return paid

    def _query(self, query: str) -> list[dict[str, Any]]:
        return self._platform.node.query(LEDGER, query)

    def _order(self, name: str, class_name: str, sku: str, total: int, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "order-platform.dev/v1alpha1",
            "kind": "Order",
            "metadata": {"name": name},
            "spec": {
                "orderID": f"{self.namespace}-{name}".upper(),
                "className": class_name,
                "customer": {"id": "CUST-12345", "email": "ana@example.com"},
                "currency": "USD",
                "lines": [{"lineID": "1", "sku": sku, "quantity": 1, "unitPriceMinor": total}],
                "totalMinor": total,
                "shippingAddress": {
                    "name": "Ana Torres",
                    "line1": "1 Main Street",
                    "city": "Springfield",
                    "postalCode": "62701",
                    "country": "US",
                },
                "payment": {"method": "tok_visa"},
                **spec,
            },
        }


def article() -> dict[str, Any]:
    """Stock enough for every test."""
    return {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "StockItem",
        "metadata": {"name": SKU.lower(), "namespace": "default"},
        "spec": {"sku": SKU, "initialOnHand": 100_000, "minimum": 10, "target": 100_000},
    }


def open_for_business(platform: Installation) -> None:
    """Classes that are slow or shipped elsewhere, and stock enough for every test."""
    slow = {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "OrderClass",
        "metadata": {"name": SLOW},
        "spec": {"pipeline": _PIPELINE, "simulation": {"steps": _SLOW_STEPS}},
    }
    elsewhere = {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "OrderClass",
        "metadata": {"name": SHIPPED_ELSEWHERE},
        "spec": {"pipeline": _PIPELINE, "shipping": {"mode": "ChildWorkflows"}},
    }
    platform.apply(slow, elsewhere, article())
    platform.node.kubectl(
        "wait",
        "--for=jsonpath={.status.onHand}",
        f"stockitem.order-platform.dev/{SKU.lower()}",
        "-n=default",
        "--timeout=60s",
    )
