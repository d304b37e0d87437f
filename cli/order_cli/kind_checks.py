"""Whether the kinds are there, are served, and have the fields that this program reads and writes."""

from collections.abc import Iterable, Mapping
from typing import Any

from order_cli.finding import GOOD, PROBLEM, WARNING, Finding
from order_cli.kubectl import Json, Kubectl
from order_cli.vocabulary import CLASSES, ORDERS, STOCK_ITEMS

KINDS = (ORDERS, CLASSES, STOCK_ITEMS)
FIELDS = (
    "spec.approval.totalMinor",
    "spec.cancellation.by",
    "spec.editedBy",
    "spec.requestedBy",
    "spec.retry",
    "spec.suspend",
    "status.approval.requires",
    "status.message",
    "status.pendingAction.deadline",
    "status.steps",
)
"""Of an order, those that came last. tests/contract/test_order_cli_words.py compares them."""


def kinds(kubectl: Kubectl) -> Iterable[Finding]:
    """Raises CommandError."""
    names = installed(kubectl)
    missing = [kind for kind in KINDS if kind not in names]
    if missing:
        yield Finding(PROBLEM, f"kinds {', '.join(missing)} are missing: install the chart order-platform-crds")
    else:
        yield from _served(kubectl)
    others = sorted(name for name in names if name.startswith("orders.") and name != ORDERS)
    if others:
        yield Finding(WARNING, f"{others[0]} has the same plural: write ord with plain kubectl")


def installed(kubectl: Kubectl) -> set[str]:
    """Names of all kinds that the cluster was taught."""
    listed = kubectl.run("get", "customresourcedefinitions", "--output=name")
    return {line.partition("/")[2] for line in listed.split()}


def _served(kubectl: Kubectl) -> Iterable[Finding]:
    found = kubectl.json("get", "customresourcedefinitions", *KINDS)["items"]
    waiting = [kind["metadata"]["name"] for kind in found if not _established(kind)]
    if waiting:
        yield Finding(PROBLEM, f"kinds {', '.join(waiting)} are there and not served: kubectl describe crd tells why")
        return
    [orders] = (kind for kind in found if kind["metadata"]["name"] == ORDERS)
    lacking = missing_fields(orders)
    if lacking:
        older = f"kind orders is older than this program, it lacks {', '.join(lacking)}"
        yield Finding(PROBLEM, f"{older}: upgrade the chart order-platform-crds")
    else:
        yield Finding(GOOD, "kinds orders, orderclasses, stockitems are served, and of this release or a newer one")


def _established(kind: Json) -> bool:
    conditions = kind.get("status", {}).get("conditions", [])
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def missing_fields(kind: Json) -> list[str]:
    """Those that no served version of the kind has."""
    schemas = [version["schema"]["openAPIV3Schema"] for version in kind["spec"]["versions"] if version["served"]]
    return [field for field in FIELDS if not any(_has(schema, field.split(".")) for schema in schemas)]


def _has(schema: Mapping[str, Any], path: list[str]) -> bool:
    for name in path:
        schema = (schema.get("properties") or {}).get(name) or {}
    return bool(schema)
