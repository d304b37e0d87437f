"""Deciding about orders under the admission policies, as people, service accounts and controllers do it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from access import APPLY, MERGE, ROOT, APIServer, Caller
from ordering_rights import (
    ADMIN,
    APPROVER,
    CANCELLER,
    CLERK,
    DIRECTOR,
    FOUR_EYES,
    GATEWAY,
    MANAGER,
    STANDARD,
    UNGATED,
    Shop,
    bind,
    order,
    order_class,
    role,
    spec,
)

from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.errors import CommandFailed
from order_devstack.stack import Stack

ENFORCED = {"order-platform.dev/policies": "enforced"}
APPROVED = {"spec": {"approval": {"decision": "Approved"}}}
SYSTEM = "kube-system"
CHARTS = Path(__file__).resolve().parents[2] / "charts"


@pytest.fixture(scope="module")
def shop(api_server: APIServer) -> Shop:
    return Shop(api_server, "deciding", ENFORCED)


@pytest.fixture
def waiting(shop: Shop, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of an order of the manager's that waits for a decision."""
    name = f"order-{abs(hash(request.node.name))}"
    shop.place(name, STANDARD)
    shop.show(name)
    yield shop.path(name)
    shop.server.must(ROOT, "DELETE", shop.path(name))


def test_a_refusal_names_the_verb_and_whom_to_ask(shop: Shop, waiting: str) -> None:
    refused = shop.server.send(CLERK, "PATCH", waiting, APPROVED, content=MERGE)

    assert refused.code == 403
    assert "clerk may not decide about this order in namespace deciding" in refused.message
    assert "this needs the verb approve on orders.order-platform.dev; ask a platform administrator" in refused.message


def test_a_decision_before_the_order_says_what_it_needs_is_told_to_wait(shop: Shop) -> None:
    shop.place("young", STANDARD)

    refused = shop.server.send(APPROVER, "PATCH", shop.path("young"), APPROVED, content=MERGE)

    assert "the verb approve-high" in refused.message
    assert "status.approval.requires" in refused.message
    shop.server.must(DIRECTOR, "PATCH", shop.path("young"), APPROVED, content=MERGE)


def test_what_was_said_of_an_order_before_an_edit_does_not_count_after_it(shop: Shop, waiting: str) -> None:
    """The approver saw 1500.00; the lines were changed to 7500.00 in between."""
    lines = [{"lineID": "1", "sku": "PROD-001", "quantity": 5, "unitPriceMinor": 150_000}]
    shop.server.must(MANAGER, "PATCH", waiting, {"spec": {"lines": lines}}, content=MERGE)

    refused = shop.server.send(APPROVER, "PATCH", waiting, APPROVED, content=MERGE)

    assert "the verb approve-high" in refused.message


def test_the_largest_legal_order_is_within_the_cost_that_policies_may_have(shop: Shop) -> None:
    line = {"sku": "S" * 63, "quantity": 10**6, "unitPriceMinor": 10**7, "description": "x" * 100}
    lines = [{"lineID": str(number), **line} for number in range(200)]
    charges = [{"chargeID": str(number), "kind": "Fee", "amountMinor": 10**9} for number in range(50)]
    shop.place("large", FOUR_EYES, lines=lines, charges=charges)
    shop.show("large")
    other = [{**each, "description": "y" * 99} for each in lines]

    shop.server.must(CLERK, "PATCH", shop.path("large"), {"spec": {"lines": other}}, content=MERGE)
    shop.show("large", seen=2)

    assert (
        shop.server.must(APPROVER, "PATCH", shop.path("large"), APPROVED, content=MERGE)["spec"]["editedBy"] == "clerk"
    )


def test_a_service_account_decides_under_its_own_name(servers: Stack, shop: Shop, waiting: str) -> None:
    account = Caller.service_account("deciding", "bot")
    bind(shop.server, "order-platform-approver", account)
    metadata = {"metadata": {"name": "bot"}}
    shop.server.must(ROOT, "POST", "/api/v1/namespaces/deciding/serviceaccounts", metadata)
    token = servers.kubectl("create", "token", "bot", "--namespace", "deciding").strip()

    decided = shop.server.must(account, "PATCH", waiting, APPROVED, content=MERGE, token=token)

    assert decided["spec"]["approval"]["by"] == "system:serviceaccount:deciding:bot"


def test_whoever_impersonates_an_approver_needs_the_right_to_and_is_the_approver(servers: Stack, shop: Shop) -> None:
    shop.place("impersonated", STANDARD)
    shop.show("impersonated")
    account = Caller.service_account("deciding", "helpdesk")
    shop.server.must(ROOT, "POST", "/api/v1/namespaces/deciding/serviceaccounts", {"metadata": {"name": "helpdesk"}})
    token = servers.kubectl("create", "token", "helpdesk", "--namespace", "deciding").strip()
    config = servers.root / "helpdesk"
    whole = json.loads(servers.kubeconfig.read_text())
    whole["users"][0]["user"]["token"] = token
    config.write_text(json.dumps(whole))
    patch = ("patch", "ord", "impersonated", "--namespace=deciding", "--type=merge", f"--patch={json.dumps(APPROVED)}")
    as_director = (f"--kubeconfig={config}", "--as=director")

    with pytest.raises(CommandFailed, match="cannot impersonate"):
        servers.kubectl(*patch, *as_director)
    role(shop.server, "helpdesk", [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}])
    bind(shop.server, "helpdesk", account)
    servers.kubectl(*patch, *as_director)

    assert shop.read("impersonated")["spec"]["approval"]["by"] == "director"


@pytest.mark.parametrize("force", ["true", "false"])
def test_a_controller_that_applies_its_manifest_again_leaves_the_decision_alone(shop: Shop, force: str) -> None:
    name = f"from-git-{force}"
    body = order(name, spec(FOUR_EYES, requestedBy=GATEWAY.name))
    path = f"{shop.path(name)}?fieldManager=gitops&force={force}"
    shop.server.must(GATEWAY, "PATCH", path, body, content=APPLY)
    shop.show(name)
    shop.server.must(APPROVER, "PATCH", shop.path(name), APPROVED, content=MERGE)

    again = shop.server.must(GATEWAY, "PATCH", path, body, content=APPLY)

    assert again["spec"]["approval"] == {"decision": "Approved", "by": "approver"}


def test_a_controller_decides_nothing_by_a_manifest_that_says_so(shop: Shop, waiting: str) -> None:
    name = waiting.rsplit("/", 1)[-1]
    body = order(name, {"approval": {"decision": "Approved", "by": "approver"}})

    refused = shop.server.send(GATEWAY, "PATCH", f"{waiting}?fieldManager=gitops", body, content=APPLY)

    assert "the verb approve" in refused.message


def test_an_approver_applies_the_decision_alone(shop: Shop, waiting: str) -> None:
    name = waiting.rsplit("/", 1)[-1]
    path = f"{waiting}?fieldManager=approver"
    decision = order(name, APPROVED["spec"])

    shop.server.must(APPROVER, "PATCH", path, decision, content=APPLY)
    again = shop.server.must(APPROVER, "PATCH", path, decision, content=APPLY)

    assert again["spec"]["approval"]["by"] == "approver"


def test_fields_of_another_manager_are_a_conflict_before_any_policy(shop: Shop) -> None:
    body = order("conflict", spec(requestedBy=GATEWAY.name))
    shop.server.must(GATEWAY, "PATCH", f"{shop.path('conflict')}?fieldManager=gitops", body, content=APPLY)
    other = order("conflict", {"shippingAddress": {**body["spec"]["shippingAddress"], "city": "Boston"}})

    assert (
        shop.server.send(CLERK, "PATCH", f"{shop.path('conflict')}?fieldManager=me", other, content=APPLY).code == 409
    )


def test_a_manifest_without_the_editors_name_replaces_an_order_without_an_edit(shop: Shop) -> None:
    shop.place("replaced", STANDARD, edited_by="lead")
    found = shop.read("replaced")
    del found["spec"]["editedBy"]

    replaced = shop.server.must(CLERK, "PUT", shop.path("replaced"), found)

    assert replaced["spec"]["editedBy"] == "lead"


def test_a_decision_is_taken_back_by_those_who_may_decide(shop: Shop) -> None:
    shop.place("refused", STANDARD, approval={"decision": "Approved", "by": ROOT.name})
    reason = {"type": "SpecApplied", "status": "False", "reason": "AmountNotStated", "message": ""}
    shop.show("refused", conditions=[{**reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    take_back = {"spec": {"approval": None}}

    refused = shop.server.send(CLERK, "PATCH", shop.path("refused"), take_back, content=MERGE)

    assert "the verb approve" in refused.message
    shop.server.must(APPROVER, "PATCH", shop.path("refused"), take_back, content=MERGE)


def test_an_order_of_nobody_is_decided_about_once_somebody_says_whose_it_is(shop: Shop) -> None:
    """Such orders are those from before the policies."""
    open_shop = Shop(shop.server, "deciding-before", {})
    before = order("of-nobody", spec(FOUR_EYES))
    shop.server.must(ROOT, "POST", open_shop.path(), before)
    labels = {"metadata": {"labels": ENFORCED}}
    shop.server.must(ROOT, "PATCH", "/api/v1/namespaces/deciding-before", labels, content=MERGE)
    open_shop.show("of-nobody")
    path = open_shop.path("of-nobody")

    assert "nobody knows who ordered this" in shop.server.send(DIRECTOR, "PATCH", path, APPROVED, content=MERGE).message
    shop.server.must(GATEWAY, "PATCH", path, {"spec": {"requestedBy": "ana"}}, content=MERGE)
    shop.server.must(DIRECTOR, "PATCH", path, APPROVED, content=MERGE)


def test_a_platform_admin_tries_an_order_again_and_frees_a_stuck_one(shop: Shop, waiting: str) -> None:
    held = {"metadata": {"finalizers": ["order-platform.dev/compensation"]}}
    shop.server.must(ROOT, "PATCH", waiting, held, content=MERGE)

    shop.server.must(ADMIN, "PATCH", waiting, {"spec": {"retry": 1}}, content=MERGE)
    shop.server.must(ADMIN, "PATCH", waiting, {"metadata": {"finalizers": None}}, content=MERGE)

    edit = shop.server.send(ADMIN, "PATCH", waiting, {"spec": {"suspend": True}}, content=MERGE)
    assert "the verb update" in edit.message


@pytest.mark.parametrize("user", [APPROVER, DIRECTOR, CLERK, MANAGER, ADMIN], ids=lambda user: user.name)
def test_whoever_may_not_delete_does_not_cancel_by_a_deletion(shop: Shop, waiting: str, user: Caller) -> None:
    assert shop.server.send(user, "DELETE", waiting).code == 403
    assert shop.server.send(user, "DELETE", shop.path()).code == 403
    assert shop.server.send(CANCELLER, "DELETE", waiting, dry_run=True).code == 200


def test_the_controllers_of_the_cluster_go_on(shop: Shop, waiting: str) -> None:
    """What deletes namespaces, and what collects garbage: neither has a verb of ours."""
    collector = Caller.service_account(SYSTEM, "generic-garbage-collector")
    namespaces = Caller.service_account(SYSTEM, "namespace-controller")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "6b1f8b2c-0000-4000-8000-000000000000"}
    held = {"metadata": {"finalizers": ["foregroundDeletion"], "ownerReferences": [owner]}}
    shop.server.must(ROOT, "PATCH", waiting, held, content=MERGE)

    freed = {"metadata": {"finalizers": None, "ownerReferences": None}}
    shop.server.must(collector, "PATCH", waiting, freed, content=MERGE)
    shop.server.must(collector, "DELETE", waiting, dry_run=True)
    shop.server.must(namespaces, "DELETE", shop.path(), dry_run=True)


def test_a_class_is_granted_in_one_namespace(shop: Shop) -> None:
    other = Shop(shop.server, "deciding-other", ENFORCED)
    rule = {"resources": ["orderclasses"], "verbs": ["use"], "resourceNames": [UNGATED]}
    role(shop.server, "ungated", [rule], "deciding-other")
    bind(shop.server, "ungated", CLERK, "deciding-other")
    body = order("ungated", spec(UNGATED, requestedBy="clerk"))

    refused = shop.server.send(CLERK, "POST", shop.path(), body, dry_run=True)

    assert f"may not use OrderClass {UNGATED} in namespace deciding:" in refused.message
    assert "the verb use on orderclasses.order-platform.dev" in refused.message
    shop.server.must(CLERK, "POST", other.path(), body, dry_run=True)


def test_an_order_without_a_class_is_judged_by_the_namespaces_default(shop: Shop) -> None:
    labels = {**ENFORCED, "order-platform.dev/default-class": UNGATED}
    ungated = Shop(shop.server, "deciding-ungated", labels)
    two = Shop(shop.server, "deciding-two", {**labels, "order-platform.dev/default-class": FOUR_EYES})
    body = order("plain", spec(None))

    assert f"may not use OrderClass {UNGATED}" in shop.server.send(CLERK, "POST", ungated.path(), body).message
    assert "wants to know who orders" in shop.server.send(CLERK, "POST", two.path(), body).message
    shop.server.must(CLERK, "POST", shop.path(), body, dry_run=True)


def test_an_order_without_a_class_is_judged_by_the_class_that_its_status_names(shop: Shop) -> None:
    shop.server.must(ROOT, "POST", shop.path(), order("unnamed", spec(None, requestedBy="manager")))
    shop.show("unnamed", className=FOUR_EYES)

    refused = shop.server.send(MANAGER, "PATCH", shop.path("unnamed"), APPROVED, content=MERGE)

    assert "manager ordered this and may not decide about it" in refused.message


def test_a_default_class_that_is_annotated_as_in_earlier_releases_is_judged_too(shop: Shop) -> None:
    order_class(shop.server, "annotated")
    path = "/apis/order-platform.dev/v1alpha1/orderclasses/annotated"
    annotation = {"metadata": {"annotations": {"order-platform.dev/is-default-class": "true"}}}
    shop.server.must(ROOT, "PATCH", path, annotation, content=MERGE)

    def missing() -> str:
        # The API server's policies hear of a class a moment later.
        answer = shop.server.send(CLERK, "POST", shop.path(), order("annotated", spec(None)), dry_run=True)
        named = "may not use the default OrderClass annotated" in answer.message
        return "" if named else f"a refusal that names the class; the answer is {answer}"

    try:
        wait_until_nothing_is_missing(missing, within_seconds=30, say=print)
    finally:
        shop.server.must(ROOT, "DELETE", path)


def test_of_two_releases_each_operator_has_the_orders_of_its_namespace(servers: Stack, shop: Shop) -> None:
    """One set of policies for both."""
    first, second = (Shop(shop.server, f"release-{number}", ENFORCED) for number in (1, 2))
    for shop_of_it in (first, second):
        name = shop_of_it.namespace
        values = (f"--set=watch.namespaces={{{name}}}", "--set=classes.install=false", "--set=defaultClass=")
        identity = f"--set=cluster={name}"
        chart = str(CHARTS / "order-platform")
        servers.helm("install", name, chart, f"--namespace={name}", "--no-hooks", *values, identity)
        shop_of_it.place("order", STANDARD)
    operators = [Caller.service_account(name, f"{name}-order-platform-operator") for name in ("release-1", "release-2")]

    codes = [
        [
            shop.server.send(operator, "PUT", its.path("order") + "/status", {**its.read("order"), "status": {}}).code
            for its in (first, second)
        ]
        for operator in operators
    ]

    assert codes == [[200, 403], [403, 200]]
