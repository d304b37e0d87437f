"""Who decided, and how far that is proven: on a platform, with and without the admission policy. Issue 12."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from cluster import ORDERS, Cluster

from order_devstack.errors import CommandFailed
from order_devstack.stack import Stack
from order_operator.cluster.api_names import GROUP
from order_operator.cluster.policies import PROVING_POLICY

ENFORCED = f"{GROUP}/policies=enforced"
DEAR = 150_000
APPROVED = {"spec": {"approval": {"decision": "Approved", "by": "bob"}}}


@pytest.fixture(scope="module")
def policy(platform: Stack) -> None:
    """The chart's policy and its binding are older than any order of these tests."""
    name = f"validatingadmissionpolicybinding/{PROVING_POLICY}"
    binding = json.loads(platform.kubectl("get", name, "--output=json"))
    created = datetime.fromisoformat(binding["metadata"]["creationTimestamp"]).timestamp()
    while time.time() < created + 2:
        time.sleep(0.1)


@pytest.fixture
def shop(cluster: Cluster, policy: None) -> Cluster:
    """In it ana orders, and both she and bob may approve. The class has four eyes."""
    _open(cluster)
    return cluster


def _open(shop: Cluster) -> None:
    _grant(shop, "ana", ["get", "list", "create", "patch", "update", "approve"])
    _grant(shop, "bob", ["get", "list", "patch", "approve", "reject"])
    _grant(shop, "eve", ["get", "list", "patch"])


def _grant(shop: Cluster, user: str, verbs: list[str]) -> None:
    rules = [
        {"apiGroups": [GROUP], "resources": ["orders"], "verbs": verbs},
        {"apiGroups": [GROUP], "resources": ["orderclasses"], "verbs": ["use"]},
    ]
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": user}}
    shop.create({**head, "kind": "Role", "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    shop.create({**head, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]})


def _order(shop: Cluster, name: str = "order") -> None:
    """By ana."""
    class_name = f"four-eyes-{shop.namespace}"
    head = {"apiVersion": f"{GROUP}/v1alpha1"}
    approval = {"mode": "Always", "windowSeconds": 3600, "fourEyes": True}
    pipeline = ["Receive", "Approval", "ChargePayment", "Ship"]
    shop.create(
        {
            **head,
            "kind": "OrderClass",
            "metadata": {"name": class_name},
            "spec": {"pipeline": pipeline, "approval": approval},
        }
    )
    spec = {
        "className": class_name,
        "requestedBy": "ana",
        "customer": {"id": "CUST-1"},
        "currency": "USD",
        "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": DEAR}],
        "shippingAddress": {"name": "Ana", "line1": "1 Main Street", "city": "Springfield", "country": "US"},
        "payment": {"method": "tok_visa"},
    }
    order = {**head, "kind": "Order", "metadata": {"name": name}, "spec": spec}
    shop.kubectl("create", "--as=ana", "--filename=-", input=json.dumps(order))
    shop.reaches("Waiting", name)


def _patch(shop: Cluster, user: str, change: dict[str, Any]) -> None:
    shop.kubectl("patch", ORDERS, "order", f"--as={user}", "--type=merge", "--patch", json.dumps(change))


def _can(shop: Cluster, user: str, verb: str) -> bool:
    """As docs/status.md asks."""
    try:
        return shop.kubectl("auth", "can-i", verb, f"{ORDERS}/order", f"--as={user}").strip().startswith("yes")
    except CommandFailed as no:
        if "no" in str(no):
            return False
        raise


def _refused(shop: Cluster, reason: str) -> dict[str, Any]:
    shop.until(lambda: shop.condition("SpecApplied").get("reason") == reason)
    return shop.condition("SpecApplied")


def test_under_the_policy_a_decision_is_proven_and_the_record_says_who_how_and_about_what(shop: Cluster) -> None:
    shop.stack.kubectl("label", "namespace", shop.namespace, ENFORCED)
    _order(shop)
    with pytest.raises(CommandFailed, match=r"spec\.approval\.by must be the name of whoever decides"):
        _patch(shop, "bob", {"spec": {"approval": {"decision": "Approved", "by": "the-ceo"}}})

    _patch(shop, "bob", APPROVED)

    approval = shop.reaches("Completed")["approval"]
    assert (approval["requestedBy"], approval["by"], approval["requires"]) == ("ana", "bob", "approve")
    assert (approval["proof"], approval["via"], approval["totalMinor"]) == ("Policy", "kubernetes", DEAR)
    assert approval["generation"] == 2
    assert approval["at"]
    shop.until(lambda: "Decided" in shop.events("order"))
    assert "approved" in shop.audit_of("order")


def test_without_the_policy_a_decision_is_claimed(shop: Cluster) -> None:
    _order(shop)

    _patch(shop, "bob", APPROVED)

    approval = shop.reaches("Completed")["approval"]
    assert (approval["by"], approval["proof"], approval["via"]) == ("bob", "Claimed", "kubernetes")


def test_a_decision_that_a_backup_brings_under_the_policy_is_claimed_and_counts(shop: Cluster) -> None:
    shop.stack.kubectl("label", "namespace", shop.namespace, ENFORCED)
    _order(shop, "pattern")
    spec = {**shop.order("pattern")["spec"], **APPROVED["spec"]}
    metadata = {"name": "order", "labels": {"velero.io/restore-name": "today"}}

    shop.create({"apiVersion": f"{GROUP}/v1alpha1", "kind": "Order", "metadata": metadata, "spec": spec})

    approval = shop.reaches("Completed")["approval"]
    assert (approval["by"], approval["requestedBy"], approval["proof"]) == ("bob", "ana", "Claimed")


def test_a_decision_about_the_own_order_is_refused_taken_back_and_made_by_somebody_else(shop: Cluster) -> None:
    _order(shop)
    assert "not by ana" in shop.status()["message"]

    _patch(shop, "ana", {"spec": {"approval": {"decision": "Approved", "by": "ana"}}})

    message = _refused(shop, "OwnOrder")["message"]
    assert "ana ordered this" in message
    _patch(shop, "ana", {"spec": {"approval": None}})
    _patch(shop, "bob", APPROVED)
    assert shop.reaches("Completed")["approval"]["by"] == "bob"


def test_who_may_decide_is_told_by_the_resource_and_an_access_review_alone(shop: Cluster) -> None:
    _order(shop)
    needs = shop.kubectl("get", ORDERS, "order", "--output=jsonpath={.status.approval.requires}")

    assert needs == "approve"
    assert {user: _can(shop, user, needs) for user in ("ana", "bob", "eve")} == {"ana": True, "bob": True, "eve": False}
    # Of those who have the verb, the order itself names who may not all the same.
    assert shop.status()["approval"]["requestedBy"] == "ana"
    assert "not by ana" in shop.status()["message"]


@pytest.fixture
def strict(shop: Cluster) -> Iterator[Cluster]:
    """An operator that wants names proven."""
    wants = {"operator": {"ORDER_OPERATOR_APPROVALS_REQUIRE_PROOF": "true"}}
    shop.stack.kill("operator")
    shop.stack.with_environment(wants).start("operator")
    yield shop
    shop.stack.kill("operator")
    shop.stack.start("operator")


def test_where_proof_is_required_a_claimed_decision_counts_for_nothing_and_a_proven_one_does(strict: Cluster) -> None:
    shop = strict
    _order(shop)
    _patch(shop, "bob", APPROVED)

    message = _refused(shop, "ProofRequired")["message"]

    assert "nothing proves that bob decided" in message
    shop.until(lambda: "EditRefused" in shop.events("order"))
    assert shop.status()["phase"] == "Waiting"
    assert "decision" not in shop.status()["approval"]
    _patch(shop, "bob", {"spec": {"approval": None}})
    shop.until(lambda: shop.condition("SpecApplied")["status"] == "True")

    enforced = Cluster(shop.stack, f"{shop.namespace}-enforced")
    shop.stack.kubectl("label", "namespace", enforced.namespace, ENFORCED)
    _open(enforced)
    _order(enforced)
    _patch(enforced, "bob", APPROVED)
    assert enforced.reaches("Completed")["approval"]["proof"] == "Policy"
