"""The Jobs of the chart beside the platform: before it, at its end, and when somebody asks whether it works."""

from typing import Any

import pytest
from charts import (
    SHARED_LEDGER,
    Manifest,
    Render,
    RenderingFailed,
    environment,
    granted,
    kinds,
    mounted,
    only,
    pod,
    pods,
)
from settings_variables import operator_variables

from order_operator.command_line import parser
from order_operator.commands.before_uninstall import OpenOrders
from order_operator.commands.prepare_temporal import Endpoint
from order_worker.command_line import parser as worker_parser

HOOK = "helm.sh/hook"


def job(manifests: list[Manifest], begins: str) -> Manifest:
    [found] = [
        i for i in manifests if i["kind"] == "Job" and i["metadata"]["name"].startswith(f"order-platform-{begins}")
    ]
    return found


def arguments(item: Manifest) -> Any:
    [container] = pod(item)["containers"]
    program, *rest = container["command"]
    assert program == "order-operator"
    return parser().parse_args(rest)


def prepares(**prepare: Any) -> dict[str, Any]:
    return {**SHARED_LEDGER, "temporal": {"prepare": prepare}}


def test_a_job_makes_what_temporal_lacks_with_no_right_in_the_cluster(render: Render) -> None:
    made = job(render("order-platform", prepares(retentionDays=7)), "prepare-")
    asked = arguments(made)

    assert (asked.command, asked.dry_run, asked.retention_days.days) == ("prepare-temporal", False, 7)
    assert pod(made)["automountServiceAccountToken"] is False


def test_a_job_can_only_look_or_not_be_there(render: Render) -> None:
    assert arguments(job(render("order-platform", prepares(mode="check")), "prepare-")).dry_run is True
    assert "Job" not in kinds(render("order-platform", prepares(mode="none")))


def test_namespaces_and_endpoints_of_the_workers_are_made_too(render: Render) -> None:
    nexus = {"taskQueue": "ships", "roles": ["shipping"], "temporalNamespace": "shipping"}
    values = {**prepares(nexusEndpoints={"shipping-endpoint": "nexus"}), "workers": {"nexus": nexus}}
    asked = arguments(job(render("order-platform", values), "prepare-"))

    assert asked.namespace == ["shipping"]
    assert asked.nexus_endpoint == [Endpoint("shipping-endpoint", "shipping", "ships")]


def test_an_endpoint_without_a_worker_is_refused(render: Render) -> None:
    with pytest.raises(RenderingFailed, match=r"nexusEndpoints\.a: workers has no entry b"):
        render("order-platform", prepares(nexusEndpoints={"a": "b"}))


def test_a_job_of_another_content_has_another_name(render: Render) -> None:
    """A Job cannot be changed: an upgrade with another address would fail at it."""
    first, same = (job(render("order-platform", prepares()), "prepare-")["metadata"]["name"] for _ in range(2))
    other = job(render("order-platform", prepares(retentionDays=8)), "prepare-")["metadata"]["name"]

    assert first == same
    assert first != other


def test_the_preparation_is_a_hook_on_request_and_needs_nothing_that_comes_later(render: Render) -> None:
    """Its account did not exist yet."""
    assert HOOK not in job(render("order-platform"), "prepare-")["metadata"].get("annotations", {})
    values = prepares(hook=True, annotations={"argocd.argoproj.io/hook": "PreSync"})
    made = job(render("order-platform", values, hooks=True), "prepare-")

    assert made["metadata"]["annotations"][HOOK] == "pre-install,pre-upgrade"
    assert made["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PreSync"
    assert pod(made)["serviceAccountName"] == "default"


def test_without_hooks_there_are_none(render: Render) -> None:
    manifests = render("order-platform", {**SHARED_LEDGER, "hooks": {"enabled": False}}, hooks=True)

    assert [item for item in manifests if HOOK in item["metadata"].get("annotations", {})] == []


@pytest.mark.parametrize("wish", list(OpenOrders))
def test_open_orders_are_seen_to_before_an_uninstall(render: Render, wish: OpenOrders) -> None:
    manifests = render("order-platform", {"uninstall": {"openOrders": wish.value}}, hooks=True)
    made = job(manifests, "before-uninstall")
    asked = arguments(made)

    assert (asked.command, asked.open_orders) == ("before-uninstall", wish)
    assert asked.deployment in {i["metadata"]["name"] for i in manifests if i["kind"] == "Deployment"}
    assert made["metadata"]["annotations"][HOOK] == "pre-delete"
    assert asked.way_back == "helm rollback order-platform 1 --namespace order-platform"
    # A second pod would ask what was refused again.
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["activeDeadlineSeconds"] > asked.patience
    [container] = pod(made)["containers"]
    assert environment(container).keys() <= operator_variables()
    lease = only(manifests, "Lease", str(environment(container)["ORDER_OPERATOR_LEASE_NAME"]))
    assert environment(container)["ORDER_OPERATOR_LEASE_NAMESPACE"] == lease["metadata"]["namespace"]


STOPPING = {
    f"order-platform/order-platform-before-uninstall: {what} [order-platform-operator]"
    for what in ("get,patch on apps/deployments/scale", "get,delete on coordination.k8s.io/leases")
}
ORDERS = {"refuse": "list", "cancel": "list,patch,cancel", "leave": "list,patch,reflect"}


@pytest.mark.parametrize("wish", list(OpenOrders))
@pytest.mark.parametrize("namespaces", [[], ["shop", "outlet"]])
def test_it_has_the_rights_that_its_wish_needs_and_no_more(
    render: Render, wish: OpenOrders, namespaces: list[str]
) -> None:
    values = {"uninstall": {"openOrders": wish.value}, "watch": {"namespaces": namespaces}}
    hooks = [i for i in render("order-platform", values, hooks=True) if HOOK in i["metadata"].get("annotations", {})]
    rights = f"order-platform-uninstall-orders: {ORDERS[wish]} on order-platform.dev/orders"

    assert granted(hooks, "ClusterRole") == (set() if namespaces else {f"*/{rights}"})
    assert granted(hooks, "Role") == STOPPING | {f"{namespace}/{rights}" for namespace in namespaces}


def test_what_a_hook_needs_is_there_before_it_and_gone_after_it(render: Render) -> None:
    hooks = [
        i
        for i in render("order-platform", hooks=True)
        if i["metadata"].get("annotations", {}).get(HOOK) == "pre-delete"
    ]
    weights = {i["kind"]: int(i["metadata"]["annotations"]["helm.sh/hook-weight"]) for i in hooks}

    assert all(weight < weights["Job"] for kind, weight in weights.items() if kind != "Job")
    for item in hooks:
        assert "hook-succeeded" in item["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_helm_prints_why_it_does_not_uninstall(render: Render) -> None:
    annotations = job(render("order-platform", hooks=True), "before-uninstall")["metadata"]["annotations"]

    assert annotations["helm.sh/hook-output-log-policy"] == "hook-failed"


def test_the_lease_belongs_to_the_release_and_its_content_to_the_operator(render: Render) -> None:
    """One that stayed held up the next installation for a quarter of a minute."""
    assert "spec" not in only(render("order-platform"), "Lease", "order-platform-operator")


def test_a_test_asks_the_operator_and_the_ledger_by_commands_that_exist(render: Render) -> None:
    spec = only(render("order-platform", SHARED_LEDGER, hooks=True), "Pod", "order-platform-test")["spec"]
    check, ledger = spec["containers"]

    assert parser().parse_args(check["command"][1:]).command == "check"
    assert worker_parser().parse_args(ledger["command"][1:]).command == "check-ledger"
    assert mounted(spec, ledger)[str(environment(ledger)["ORDER_LEDGER_URL_FILE"])]["name"] == "ledger"


def test_a_ledger_inside_a_pod_is_not_asked_from_another(render: Render) -> None:
    [check] = only(render("order-platform", hooks=True), "Pod", "order-platform-test")["spec"]["containers"]

    assert check["name"] == "check"


def test_a_test_is_run_when_it_is_asked_for_alone(render: Render) -> None:
    annotations = only(render("order-platform", hooks=True), "Pod", "order-platform-test")["metadata"]["annotations"]

    assert annotations[HOOK] == "test"


def test_jobs_are_restricted_as_the_operator_is(render: Render) -> None:
    templates = pods(render("order-platform", SHARED_LEDGER, hooks=True))
    operator = templates["Deployment/order-platform-operator"]["spec"]

    for name, template in templates.items():
        assert template["spec"]["securityContext"] == operator["securityContext"], name
        for container in template["spec"]["containers"]:
            assert container["securityContext"] == operator["containers"][0]["securityContext"], name


def test_no_job_is_taken_for_a_pod_of_the_operator(render: Render) -> None:
    """Its disruption budget would count what no Deployment makes, and fail."""
    manifests = render("order-platform", SHARED_LEDGER, hooks=True)
    selectors = [i["spec"]["selector"]["matchLabels"] for i in manifests if i["kind"] == "PodDisruptionBudget"]

    for name, template in pods(manifests).items():
        if not name.startswith("Deployment/"):
            labels = template["metadata"]["labels"]
            assert not [selector for selector in selectors if selector.items() <= labels.items()], name
