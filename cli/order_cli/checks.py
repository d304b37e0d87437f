"""What `kubectl order doctor` looks at. Each check asks kubectl by itself, so that a missing right hides no other."""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from order_cli import clock, installation, kind_checks, operator_checks, rights
from order_cli.finding import GOOD, PROBLEM, UNKNOWN, WARNING, Finding
from order_cli.kubectl import Json, Kubectl
from order_cli.order import Order
from order_cli.problems import CommandError
from order_cli.session import Session
from order_cli.vocabulary import (
    APPROVE,
    APPROVE_HIGH,
    CANCEL,
    CLASSES,
    GROUP,
    ORDERS,
    REJECT,
    RETRY,
)

OLDEST_KUBERNETES = (1, 32)
_LEASE_SECONDS = 15.0
_POLICIES = {"order-platform-orders", "order-platform-classes", "order-platform-status"}
_DEFAULT_CLASS = "order-platform.dev/default-class"
_ENFORCED = "order-platform.dev/policies"
_VERBS = ("get", "list", "watch", "create", "patch", APPROVE, APPROVE_HIGH, REJECT, CANCEL, RETRY)
_FROM_OUTSIDE = ("Temporal", "SearchAttribute", "NoWorker")
"""Beginnings of reasons that tell of Temporal and of workers."""


def all_findings(session: Session, *, installation_alone: bool = False) -> list[Finding]:
    """Of all checks, in their order. `installation_alone`: not of orders, the caller and their namespace, but of what
    takes an administrator's rights to ask."""
    kubectl = session.kubectl
    namespace = None if installation_alone else own_namespace(session)
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("versions", lambda: _versions(kubectl)),
        ("kinds", lambda: kind_checks.kinds(kubectl)),
        ("operator and workers", lambda: _deployments(kubectl)),
        ("classes", lambda: _classes(kubectl)),
        ("admission policies", lambda: _policies(kubectl, namespace)),
    ]
    if namespace is None:
        checks += [
            ("Temporal, as the operator tells", lambda: operator_checks.temporal(kubectl)),
            ("monitoring", lambda: operator_checks.monitors(kubectl)),
        ]
    else:
        checks += [
            ("Temporal and workers, as orders tell", lambda: _conditions(kubectl)),
            ("your rights", lambda: _rights(kubectl, namespace)),
        ]
    with ThreadPoolExecutor(4) as pool:
        return [finding for found in pool.map(lambda check: _safely(*check), checks) for finding in found]


def own_namespace(session: Session) -> str:
    """Where the caller's commands look."""
    if session.flags.namespace:
        return session.flags.namespace
    found = session.kubectl.run("config", "view", "--minify", "--output=jsonpath={..namespace}")
    return found.strip() or "default"


def _safely(what: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except CommandError as error:
        return [Finding(UNKNOWN, f"{what}: could not be checked: {error}")]


def _versions(kubectl: Kubectl) -> Iterable[Finding]:
    client, server = installation.server_and_client(kubectl)
    if not server:
        yield Finding(PROBLEM, f"kubectl {client}; the API server does not answer")
        return
    new_enough = installation.minor(server) >= OLDEST_KUBERNETES
    yield Finding(GOOD if new_enough else PROBLEM, f"kubectl {client}, server {server} (≥ 1.32)")


def _deployments(kubectl: Kubectl) -> Iterable[Finding]:
    found = installation.deployments(kubectl)
    operators = installation.operators(found)
    if not operators:
        yield Finding(PROBLEM, "no operator: install the chart order-platform")
    for operator in operators:
        yield from _operator(kubectl, operator)
    for worker in found:
        if installation.component(worker) == "worker":
            ready, wanted = _ready(worker)
            name = worker["metadata"]["name"]
            yield Finding(GOOD if ready == wanted else WARNING, f"worker {name}: {ready} of {wanted} pods ready")
            if _variables(worker).get("ORDER_LEDGER_URL", "").startswith("sqlite"):
                yield Finding(WARNING, f"worker {name}: the ledger is SQLite inside the pod, and lost with it")
    yield from _queues(kubectl, found)


def _operator(kubectl: Kubectl, operator: Json) -> Iterable[Finding]:
    name, namespace = operator["metadata"]["name"], operator["metadata"]["namespace"]
    ready, wanted = _ready(operator)
    yield Finding(GOOD if ready == wanted else WARNING, f"operator {name}: {ready} of {wanted} pods ready")
    lease = kubectl.json("get", "leases.coordination.k8s.io", name, namespace=namespace)["spec"]
    renewed = clock.parse(lease.get("renewTime"))
    if renewed is None or not lease.get("holderIdentity"):
        yield Finding(PROBLEM, f"operator {name}: nobody leads")
        return
    ago = (clock.now() - renewed).total_seconds()
    mark = GOOD if ago < _LEASE_SECONDS else PROBLEM
    yield Finding(mark, f"operator {name}: {lease['holderIdentity']} leads, renewed {clock.short(ago)} ago")


def _queues(kubectl: Kubectl, found: Sequence[Json]) -> Iterable[Finding]:
    """A class that ships on another queue needs a worker there."""
    served = {_variables(each).get("ORDER_WORKER_TASK_QUEUE") for each in found}
    for name, order_class in rights.classes_by_name(kubectl).items():
        shipping = order_class.get("spec", {}).get("shipping") or {}
        queue = shipping.get("taskQueue")
        if shipping.get("mode") == "ChildWorkflows" and queue not in served:
            yield Finding(WARNING, f"class {name} ships on queue {queue}: no worker of this chart serves it")


def _ready(deployment: Json) -> tuple[int, int]:
    return int(deployment.get("status", {}).get("readyReplicas", 0)), int(deployment["spec"].get("replicas", 1))


def _variables(deployment: Json) -> dict[str, str]:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: str(each.get("value", "")) for item in containers for each in item.get("env", [])}


def _classes(kubectl: Kubectl) -> Iterable[Finding]:
    found = kubectl.json("get", CLASSES).get("items", [])
    defaults = [_name(item) for item in found if item["metadata"].get("labels", {}).get(_DEFAULT_CLASS) == "true"]
    if len(defaults) == 1:
        yield Finding(GOOD, f"default class {defaults[0]}")
    else:
        how_many = "no default class" if not defaults else f"{len(defaults)} default classes ({', '.join(defaults)})"
        yield Finding(WARNING, f"{how_many}: an order without className waits")
    for item in found:
        ready = Order(item).condition("Ready")
        if ready.get("status") == "False":
            yield Finding(PROBLEM, f"class {_name(item)}: {ready.get('message') or ready.get('reason')}")


def _name(item: Json) -> str:
    return str(item["metadata"]["name"])


def _policies(kubectl: Kubectl, namespace: str | None) -> Iterable[Finding]:
    listed = kubectl.run("get", "validatingadmissionpolicybindings", "--output=name")
    bound = {line.partition("/")[2] for line in listed.split()}
    if missing := sorted(_POLICIES - bound):
        yield Finding(
            PROBLEM, f"admission policies {', '.join(missing)} are not bound: names of approvers are not checked"
        )
        return
    if namespace is None:
        yield Finding(
            GOOD, f"admission policies are bound; they hold in namespaces with the label {_ENFORCED}=enforced"
        )
        return
    labels = kubectl.json("get", "namespace", namespace)["metadata"].get("labels", {})
    if labels.get(_ENFORCED) == "enforced":
        yield Finding(GOOD, f"admission policies are bound, and hold in {namespace}")
    else:
        yield Finding(WARNING, f"admission policies do not hold in {namespace}: label it {_ENFORCED}=enforced")


def _conditions(kubectl: Kubectl) -> Iterable[Finding]:
    everywhere = kubectl.json("get", ORDERS, "--all-namespaces").get("items", [])
    open_ones = [order for order in map(Order, everywhere) if not order.finished]
    reasons: dict[str, list[Order]] = {}
    for order in open_ones:
        reason = str(order.condition("Reconciling").get("reason", ""))
        if order.holds("Reconciling") and reason.startswith(_FROM_OUTSIDE):
            reasons.setdefault(reason, []).append(order)
    for reason, orders in sorted(reasons.items()):
        yield Finding(PROBLEM, f"{len(orders)} orders are held up by {reason}: {orders[0].message}")
    if not reasons:
        yield Finding(GOOD, f"no order of {len(open_ones)} under way is held up by Temporal or a missing worker")


def _rights(kubectl: Kubectl, namespace: str) -> Iterable[Finding]:
    me = rights.me(kubectl)
    known = rights.allowed(kubectl, ((namespace, verb, "") for verb in _VERBS))
    may = " ".join(verb for verb in _VERBS if known[namespace, verb, ""])
    may_not = " ".join(verb for verb in _VERBS if not known[namespace, verb, ""])
    parts = [f"may: {may}" if may else "", f"may not: {may_not}" if may_not else ""]
    yield Finding(GOOD if may else WARNING, f"you ({me}) in {namespace} {' · '.join(filter(None, parts))}")
    if known[namespace, "create", ""]:
        yield _canary(kubectl, namespace, me)


def _canary(kubectl: Kubectl, namespace: str, me: str) -> Finding:
    """An order that is judged and not written."""
    spec: dict[str, Any] = {
        "customer": {"id": "doctor"},
        "currency": "USD",
        "lines": [{"lineID": "1", "sku": "doctor", "quantity": 1, "unitPriceMinor": 1}],
        "shippingAddress": {"name": "Doctor", "line1": "1 Street", "city": "Town", "country": "US"},
        "payment": {"method": "tok_doctor"},
        "requestedBy": me,
    }
    order = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Order", "metadata": {"name": "doctor-dry-run"}, "spec": spec}
    try:
        kubectl.json("create", "--dry-run=server", "--filename=-", namespace=namespace, text=json.dumps(order))
    except CommandError as error:
        return Finding(WARNING, f"an order of the default class would be refused in {namespace}: {error}")
    return Finding(GOOD, f"an order of the default class would be accepted in {namespace} (dry run)")
