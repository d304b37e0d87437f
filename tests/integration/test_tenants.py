"""What a tenant may do with a namespace of its own: docs/tenants.md."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from access import API, MERGE, ROOT, APIServer, Caller
from ordering_rights import STANDARD, TIERED, UNGATED, Shop, bind, order, order_class, spec

from order_devstack.stack import Stack

PAGE = Path(__file__).resolve().parents[2] / "docs/tenants.md"

TENANT = Caller("tenant")
"""Owns a namespace, as the cluster's role `admin` and the editor's say, and nothing else."""


@pytest.fixture(scope="module")
def shop(api_server: APIServer) -> Shop:
    shop = Shop(api_server, "tenant", {"order-platform.dev/policies": "enforced"})
    # The parts of `admin`, which a controller puts together that does not run here.
    for name in ("system:aggregate-to-view", "system:aggregate-to-edit", "system:aggregate-to-admin"):
        bind(api_server, name, TENANT, "tenant", role_kind="ClusterRole")
    bind(api_server, "order-platform-editor", TENANT, "tenant", role_kind="ClusterRole")
    return shop


@pytest.fixture
def quota(shop: Shop) -> Iterator[str]:
    """Two orders at most. Its status is what the controller of quotas would write, which does not run here."""
    path = "/api/v1/namespaces/tenant/resourcequotas"
    hard = {"count/orders.order-platform.dev": "2"}
    body = {"metadata": {"name": "orders"}, "spec": {"hard": hard}}
    stored = dict(shop.server.must(ROOT, "POST", path, body))
    stored["status"] = {"hard": hard, "used": {"count/orders.order-platform.dev": "0"}}
    shop.server.must(ROOT, "PUT", f"{path}/orders/status", stored)
    yield f"{path}/orders"
    shop.server.must(ROOT, "DELETE", f"{path}/orders")


@pytest.mark.usefixtures("quota")
def test_a_namespace_holds_as_many_orders_as_its_quota_says(shop: Shop) -> None:
    for name in ("first", "second"):
        shop.server.must(TENANT, "POST", shop.path(), order(name, spec()))

    refused = shop.server.send(TENANT, "POST", shop.path(), order("third", spec()))

    assert refused.code == 403
    assert "exceeded quota: orders" in refused.message
    assert "count/orders.order-platform.dev=2" in refused.message


def test_a_tenant_changes_no_quota(shop: Shop, quota: str) -> None:
    more = {"spec": {"hard": {"count/orders.order-platform.dev": "1000"}}}

    assert shop.server.send(TENANT, "PATCH", quota, more, content=MERGE).code == 403


def test_a_tenant_takes_the_policies_off_no_namespace(shop: Shop) -> None:
    off = {"metadata": {"labels": {"order-platform.dev/policies": None}}}

    assert shop.server.send(TENANT, "PATCH", "/api/v1/namespaces/tenant", off, content=MERGE).code == 403


def test_a_tenant_grants_nobody_a_verb_that_it_does_not_have(shop: Shop) -> None:
    """Kubernetes keeps whoever administers a namespace from writing roles with more than they have."""
    rule = {"apiGroups": ["order-platform.dev"], "resources": ["orders"], "verbs": ["approve", "patch"]}
    role = {"metadata": {"name": "approver"}, "rules": [rule]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "order-platform-high-approver"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TENANT.name}]
    binding = {"metadata": {"name": "approver"}, "roleRef": reference, "subjects": subjects}
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/tenant"

    assert "attempting to grant RBAC permissions" in shop.server.send(TENANT, "POST", f"{rbac}/roles", role).message
    assert (
        "attempting to grant RBAC permissions"
        in shop.server.send(TENANT, "POST", f"{rbac}/rolebindings", binding).message
    )


@pytest.mark.parametrize("order_class", [UNGATED, TIERED])
def test_a_tenant_orders_by_the_classes_that_it_was_given(shop: Shop, order_class: str) -> None:
    refused = shop.server.send(TENANT, "POST", shop.path(), order("other", spec(order_class)), dry_run=True)

    assert f"may not use OrderClass {order_class}" in refused.message
    shop.server.must(TENANT, "POST", shop.path(), order("other", spec(STANDARD)), dry_run=True)


def test_a_tenant_writes_no_class_and_no_policy(shop: Shop) -> None:
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

    assert shop.server.send(TENANT, "PATCH", f"{API}/orderclasses/{STANDARD}", {}, content=MERGE).code == 403
    assert shop.server.send(TENANT, "DELETE", f"{policies}/order-platform-orders").code == 403


def test_a_tenant_reads_and_writes_no_order_of_another(shop: Shop) -> None:
    other = Shop(shop.server, "tenant-other", {"order-platform.dev/policies": "enforced"})
    other.place("theirs", STANDARD)
    edit = {"spec": {"suspend": True}}

    assert shop.server.send(TENANT, "GET", other.path("theirs")).code == 403
    assert shop.server.send(TENANT, "PATCH", other.path("theirs"), edit, content=MERGE).code == 403
    assert shop.server.send(TENANT, "GET", f"{API}/orders").code == 403


def test_the_commands_of_the_page_make_a_tenant(servers: Stack, api_server: APIServer) -> None:
    ana = Caller("ana", ("shop-staff",))
    page = PAGE.read_text()
    [role] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            servers.kubectl(*shlex.split(line)[1:])
    servers.kubectl("apply", "--filename=-", input=role)
    order_class(api_server, "express")
    path = f"{API}/namespaces/shop/orders"

    api_server.must(ana, "POST", path, order("first", spec(None)), dry_run=True)
    refused = api_server.send(ana, "POST", path, order("second", spec(UNGATED)), dry_run=True)

    assert f"may not use OrderClass {UNGATED} in namespace shop" in refused.message
    assert api_server.send(ana, "POST", path, order("third", spec("express")), dry_run=True).code == 201
