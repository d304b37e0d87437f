"""Rights of the programs and roles of people, as the chart makes them."""

import pytest
from charts import (
    Render,
    granted,
    labels_of,
    only,
    pod,
)

CLUSTER_RULES = {
    "*/order-platform-operator: list,watch on order-platform.dev/orderclasses",
    (
        "*/order-platform-operator: get on apiextensions.k8s.io/customresourcedefinitions "
        "[orders.order-platform.dev,orderclasses.order-platform.dev,stockitems.order-platform.dev]"
    ),
    (
        "*/order-platform-operator: get on admissionregistration.k8s.io/"
        "validatingadmissionpolicies,validatingadmissionpolicybindings [order-platform-orders]"
    ),
    "*/order-platform-operator: list on coordination.k8s.io/leases",
    "*/order-platform-viewer: get,list,watch on order-platform.dev/orders,orderclasses,stockitems",
    "*/order-platform-editor: get,list,watch,create,update,patch on order-platform.dev/orders",
    (
        "*/order-platform-editor: use on order-platform.dev/orderclasses "
        "[enriched-saga,reviewed-ledger,standard,threshold]"
    ),
    "*/order-platform-approver: get,list,watch,patch,approve,reject on order-platform.dev/orders",
    "*/order-platform-high-approver: get,list,watch,patch,approve,approve-high,reject on order-platform.dev/orders",
    "*/order-platform-canceller: get,list,watch,patch,cancel,delete on order-platform.dev/orders",
    "*/order-platform-auditor: get,list,watch,audit on order-platform.dev/orders",
    "*/order-platform-auditor: get,list,watch on order-platform.dev/orderclasses",
    (
        "*/order-platform-platform-admin: get,list,watch,create,update,patch,delete on "
        "order-platform.dev/orderclasses,stockitems"
    ),
    "*/order-platform-platform-admin: get,list,watch,patch,retry,adopt,reflect on order-platform.dev/orders",
}


CLASS_STATUS_RULES = {"*/order-platform-operator: update on order-platform.dev/orderclasses/status"}
"""Not of an installation that watches some namespaces: it shares the classes with others."""


LEADER_RULES = {
    "order-platform/order-platform-operator-leader: create on coordination.k8s.io/leases",
    "order-platform/order-platform-operator-leader: get,update on coordination.k8s.io/leases [order-platform-operator]",
}


IDENTITY_RULES = {"kube-system/order-platform-operator-identity: get on /namespaces [kube-system]"}


def order_rules(namespace: str) -> set[str]:
    only = "" if namespace == "*" else f" [{namespace}]"
    return {
        f"{namespace}/order-platform-operator: get on /namespaces{only}",
        f"{namespace}/order-platform-operator: get,list,watch,patch,delete,reflect on order-platform.dev/orders",
        f"{namespace}/order-platform-operator: get,list,watch on order-platform.dev/stockitems",
        f"{namespace}/order-platform-operator: update on order-platform.dev/orders/status,stockitems/status",
        f"{namespace}/order-platform-operator: create on events.k8s.io/events",
    }


def test_the_rights_for_all_namespaces_are_exactly_these(render: Render) -> None:
    manifests = render("order-platform")

    assert granted(manifests, "ClusterRole") == CLUSTER_RULES | CLASS_STATUS_RULES | order_rules("*")
    assert granted(manifests, "Role") == LEADER_RULES | IDENTITY_RULES


def test_an_identity_that_is_given_needs_no_right_to_read_the_clusters(render: Render) -> None:
    assert granted(render("order-platform", {"cluster": "east"}), "Role") == LEADER_RULES


def test_with_chosen_namespaces_nothing_cluster_wide_touches_an_order(render: Render) -> None:
    manifests = render("order-platform", {"watch": {"namespaces": ["shop", "outlet"]}})

    assert granted(manifests, "ClusterRole") == CLUSTER_RULES
    assert granted(manifests, "Role") == LEADER_RULES | IDENTITY_RULES | order_rules("shop") | order_rules("outlet")


def test_every_role_of_the_operator_is_bound_to_it_alone(render: Render) -> None:
    manifests = render("order-platform", {"watch": {"namespaces": ["shop"]}})
    bindings = [item for item in manifests if item["kind"] in ("RoleBinding", "ClusterRoleBinding")]

    assert {item["roleRef"]["name"] for item in bindings} == {
        "order-platform-operator",
        "order-platform-operator-leader",
        "order-platform-operator-identity",
    }
    assert {subject["name"] for item in bindings for subject in item["subjects"]} == {"order-platform-operator"}


def test_a_worker_gets_no_token(render: Render) -> None:
    manifests = render("order-platform")

    assert only(manifests, "ServiceAccount", "order-platform-worker")["automountServiceAccountToken"] is False
    assert pod(only(manifests, "Deployment", "order-platform-worker-orders"))["automountServiceAccountToken"] is False


@pytest.mark.parametrize("deployment", ["order-platform-operator", "order-platform-worker-orders"])
def test_every_container_keeps_to_the_restricted_level_with_a_read_only_root(render: Render, deployment: str) -> None:
    spec = pod(only(render("order-platform"), "Deployment", deployment))

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_editors_may_use_the_classes_that_ask_a_person_and_those_that_are_named(render: Render) -> None:
    values = {"userRoles": {"create": True, "aggregate": False, "classes": ["express", "standard"]}}

    classes = "[enriched-saga,express,reviewed-ledger,standard,threshold]"
    wanted = f"*/order-platform-editor: use on order-platform.dev/orderclasses {classes}"
    assert wanted in granted(render("order-platform", values), "ClusterRole")


def test_what_decides_about_money_is_part_of_no_role_of_the_cluster(render: Render) -> None:
    values = {"userRoles": {"create": True, "aggregate": True, "classes": []}}
    roles = [item for item in render("order-platform", values) if item["kind"] == "ClusterRole"]
    aggregated = [role for role in roles if any("aggregate-to" in label for label in role["metadata"]["labels"])]
    verbs = {verb for role in aggregated for rule in role["rules"] for verb in rule["verbs"]}

    assert {role["metadata"]["name"] for role in aggregated} == {"order-platform-viewer", "order-platform-editor"}
    assert verbs == {"get", "list", "watch", "create", "update", "patch", "use"}
    assert not any("aggregate-to" in label for role in render("order-platform") for label in labels_of(role))
