"""A namespace in which people of every role meet orders: what the tests of the admission policies share."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from access import API, MERGE, ROOT, APIServer, Caller

CLERK = Caller("clerk", ("shop-staff",))
"""May order and edit."""
APPROVER = Caller("approver", ("order-approvers",))
"""May decide, by a group."""
DIRECTOR = Caller("director")
"""May decide about everything."""
CANCELLER = Caller("canceller")
MANAGER = Caller("manager")
"""May order, edit and decide; ordered the orders of the tests."""
LEAD = Caller("lead")
"""May order, edit and decide about everything; edited the edited orders of the tests."""
GATEWAY = Caller.service_account("who-may", "gateway")
"""Orders for others."""
OPERATOR = Caller.service_account("order-platform", "order-platform-operator")
ADMIN = Caller("platform-admin")
VIEWER = Caller("viewer")

STANDARD, TIERED, FOUR_EYES, UNGATED = "standard", "who-may-tiered", "who-may-four-eyes", "durable-stock"

_ROLES: Mapping[Caller, Sequence[str]] = {
    CLERK: ["order-platform-editor", "who-may-user"],
    DIRECTOR: ["order-platform-high-approver"],
    CANCELLER: ["order-platform-canceller"],
    MANAGER: ["order-platform-editor", "who-may-user", "order-platform-approver"],
    LEAD: ["order-platform-editor", "who-may-user", "order-platform-high-approver"],
    GATEWAY: ["order-platform-editor", "who-may-user", "who-may-gateway"],
    ADMIN: ["order-platform-platform-admin"],
    VIEWER: ["order-platform-viewer"],
}

ADDRESS = {
    "name": "Ana Torres",
    "line1": "1 Main Street",
    "city": "Springfield",
    "postalCode": "62701",
    "country": "US",
}


def spec(order_class: str | None = STANDARD, **changes: Any) -> dict[str, Any]:
    """A spec of 1500.00 USD; None takes a field away."""
    whole = {
        "className": order_class,
        "customer": {"id": "CUST-12345"},
        "currency": "USD",
        "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 150_000}],
        "shippingAddress": ADDRESS,
        "payment": {"method": "tok_visa"},
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def order(name: str, body: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """The resource."""
    return {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": name, **metadata},
        "spec": dict(body),
    }


class Shop:
    """A namespace; its orders are written by an administrator, whom no policy stops."""

    def __init__(self, server: APIServer, namespace: str, labels: Mapping[str, str]) -> None:
        self.server = server
        self.namespace = namespace
        metadata = {"name": namespace, "labels": dict(labels)}
        server.must(ROOT, "POST", "/api/v1/namespaces", {"metadata": metadata})

    def path(self, name: str = "") -> str:
        """Of all orders, or of one."""
        return f"{API}/namespaces/{self.namespace}/orders{name and '/' + name}"

    def place(
        self,
        name: str,
        order_class: str,
        *,
        edited_by: str | None = None,
        labels: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        """An order of the manager's; with `edited_by` one whose address somebody has changed since."""
        body = order(name, spec(order_class, **{"requestedBy": MANAGER.name, **changes}), labels=dict(labels or {}))
        self.server.must(ROOT, "POST", self.path(), body)
        if edited_by is not None:
            edit = {"spec": {"shippingAddress": {"line2": "Floor 2"}, "editedBy": edited_by}}
            self.server.must(ROOT, "PATCH", self.path(name), edit, content=MERGE)

    def show(self, name: str, *, requires: str = "approve", seen: int = 1, **status: Any) -> None:
        """Let the status say that generation `seen` waits for a decision."""
        found = dict(self.read(name))
        approval = {"required": True, "requires": requires}
        found["status"] = {"phase": "Waiting", "observedGeneration": seen, "approval": approval, **status}
        self.server.must(ROOT, "PUT", self.path(name) + "/status", found)

    def read(self, name: str) -> dict[str, Any]:
        """The order as it is stored."""
        return copy.deepcopy(dict(self.server.must(ROOT, "GET", self.path(name))))


def role(server: APIServer, name: str, rules: Sequence[Mapping[str, Any]], namespace: str = "") -> None:
    """A ClusterRole, or a Role in the namespace."""
    body = {"metadata": {"name": name}, "rules": [{"apiGroups": ["order-platform.dev"], **rule} for rule in rules]}
    server.must(ROOT, "POST", _rbac("roles", namespace), body)


def bind(
    server: APIServer, granted: str, to: Caller, namespace: str = "", *, kind: str = "User", role_kind: str = ""
) -> None:
    """Bind a ClusterRole everywhere, or in the namespace a Role, or what `role_kind` says; with `kind` Group to all of
    that name."""
    body = {
        "metadata": {"generateName": f"{granted}-"},
        "roleRef": {
            "apiGroup": _RBAC,
            "kind": role_kind or ("Role" if namespace else "ClusterRole"),
            "name": granted,
        },
        "subjects": [{"apiGroup": _RBAC, "kind": kind, "name": to.name}],
    }
    server.must(ROOT, "POST", _rbac("rolebindings", namespace), body)


_RBAC = "rbac.authorization.k8s.io"


def _rbac(plural: str, namespace: str) -> str:
    return f"/apis/{_RBAC}/v1/" + (f"namespaces/{namespace}/{plural}" if namespace else f"cluster{plural}")


def grant(server: APIServer) -> None:
    """Everybody's roles in all namespaces, and the classes of the tests."""
    role(
        server,
        "who-may-user",
        [{"resources": ["orderclasses"], "verbs": ["use"], "resourceNames": [TIERED, FOUR_EYES]}],
    )
    role(server, "who-may-gateway", [{"resources": ["orders"], "verbs": ["request-for"]}])
    bind(server, "order-platform-approver", Caller("order-approvers"), kind="Group")
    for caller, roles in _ROLES.items():
        for name in roles:
            bind(server, name, caller)
    approvals: Mapping[str, Mapping[str, Any]] = {
        TIERED: {"highThresholdMinor": 100_000, "currency": "USD"},
        FOUR_EYES: {"fourEyes": True},
    }
    for name, approval in approvals.items():
        order_class(server, name, approval={"mode": "Always", **approval})


def order_class(server: APIServer, name: str, labels: Mapping[str, str] | None = None, **policy: Any) -> None:
    """A class that charges, after an approval."""
    body = {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "OrderClass",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {"pipeline": ["Receive", "Approval", "ChargePayment"], **policy},
    }
    server.must(ROOT, "POST", f"{API}/orderclasses", body)
