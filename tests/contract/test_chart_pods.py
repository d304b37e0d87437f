"""What a platform team may say about the pods of the chart: where they run, as whom, with what beside them."""

from typing import Any

import pytest
from charts import SHARED_LEDGER, Manifest, Render, only, pod, pods

OPERATOR, WORKER = "Deployment/order-platform-operator", "Deployment/order-platform-worker-orders"


def said_of_both(**said: Any) -> dict[str, Any]:
    return {**SHARED_LEDGER, "operator": said, "worker": {"defaults": said}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("priorityClassName", "important"),
        ("nodeSelector", {"pool": "orders"}),
        ("tolerations", [{"key": "orders", "operator": "Exists"}]),
        ("affinity", {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}),
        ("hostUsers", False),
    ],
)
def test_where_pods_run_can_be_said_of_all_pods(render: Render, key: str, value: Any) -> None:
    """Of the Jobs too: where nothing runs without a toleration they did not either."""
    for name, template in pods(render("order-platform", said_of_both(**{key: value}), hooks=True)).items():
        assert template["spec"][key] == value, name


def test_pods_carry_the_labels_and_annotations_that_a_mesh_or_an_agent_wants(render: Render) -> None:
    values = said_of_both(podLabels={"team": "shop"}, podAnnotations={"agent/scrape": "true"})
    for name, template in pods(render("order-platform", values, hooks=True)).items():
        assert template["metadata"]["labels"]["team"] == "shop", name
        assert template["metadata"]["annotations"]["agent/scrape"] == "true", name


def test_a_pods_label_never_takes_it_out_of_its_selector(render: Render) -> None:
    values = said_of_both(podLabels={"app.kubernetes.io/component": "other", "app.kubernetes.io/name": "other"})
    for item in render("order-platform", {**values, "commonLabels": {"app.kubernetes.io/instance": "other"}}):
        if item["kind"] == "Deployment":
            labels = item["spec"]["template"]["metadata"]["labels"]
            assert item["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_an_entry_of_the_workers_runs_where_it_alone_says(render: Render) -> None:
    workers = {"orders": {}, "shipping": {"nodeSelector": {"pool": "ships"}, "priorityClassName": "low"}}
    templates = pods(render("order-platform", {**SHARED_LEDGER, "workers": workers}))

    assert templates["Deployment/order-platform-worker-shipping"]["spec"]["nodeSelector"] == {"pool": "ships"}
    assert "nodeSelector" not in templates[WORKER]["spec"]


@pytest.mark.parametrize("deployment", ["order-platform-operator", "order-platform-worker-orders"])
def test_pods_keep_to_different_nodes_unless_told_otherwise(render: Render, deployment: str) -> None:
    """Two operators on one node protect against nothing."""
    item = only(render("order-platform"), "Deployment", deployment)
    [constraint] = pod(item)["topologySpreadConstraints"]

    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["labelSelector"]["matchLabels"] == item["spec"]["selector"]["matchLabels"]


def test_a_spread_of_ones_own_gets_the_labels_of_each_deployments_pods(render: Render) -> None:
    zones = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    workers = {"orders": {}, "shipping": {}}
    values = {**said_of_both(topologySpreadConstraints=[zones]), "workers": workers}
    for item in render("order-platform", values):
        if item["kind"] == "Deployment":
            [constraint] = pod(item)["topologySpreadConstraints"]
            assert constraint == {**zones, "labelSelector": {"matchLabels": item["spec"]["selector"]["matchLabels"]}}


def test_no_spread_is_a_choice_too(render: Render) -> None:
    templates = pods(render("order-platform", said_of_both(topologySpreadConstraints=[])))

    assert "topologySpreadConstraints" not in templates[OPERATOR]["spec"]


def test_an_account_of_ones_own_is_used_by_all_pods_of_its_component_and_bound(render: Render) -> None:
    account = {"create": False, "name": "mine"}
    values = {**SHARED_LEDGER, "operator": {"serviceAccount": account}, "worker": {"serviceAccount": account}}
    manifests = render("order-platform", values)

    assert not [item for item in manifests if item["kind"] == "ServiceAccount"]
    assert {template["spec"]["serviceAccountName"] for template in pods(manifests).values()} == {"mine"}
    bindings = [item for item in manifests if item["kind"].endswith("RoleBinding")]
    assert {subject["name"] for item in bindings for subject in item["subjects"]} == {"mine"}


def test_an_account_carries_the_annotations_of_a_clouds_identity(render: Render) -> None:
    account = {"annotations": {"cloud/role": "orders"}, "automount": True, "name": "in-the-cloud"}
    made = only(render("order-platform", {"worker": {"serviceAccount": account}}), "ServiceAccount", "in-the-cloud")

    assert made["metadata"]["annotations"] == {"cloud/role": "orders"}
    assert made["automountServiceAccountToken"] is True


BUDGETS = ["order-platform-operator", "order-platform-worker-orders"]


@pytest.mark.parametrize("name", BUDGETS)
def test_a_node_that_is_emptied_takes_one_pod_at_a_time(render: Render, name: str) -> None:
    manifests = render("order-platform")
    spec = only(manifests, "PodDisruptionBudget", name)["spec"]

    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert spec["selector"] == only(manifests, "Deployment", name)["spec"]["selector"]


def test_a_budget_can_be_another_or_none(render: Render) -> None:
    values = {
        "operator": {"podDisruptionBudget": {"enabled": False}},
        "workers": {"orders": {"podDisruptionBudget": {"minAvailable": "50%"}}},
    }
    [budget] = [item for item in render("order-platform", values) if item["kind"] == "PodDisruptionBudget"]

    assert budget["metadata"]["name"] == "order-platform-worker-orders"
    assert budget["spec"]["minAvailable"] == "50%"
    assert "maxUnavailable" not in budget["spec"]


def test_volumes_and_containers_of_ones_own_stand_beside_the_program(render: Render) -> None:
    mount = {"name": "ca", "mountPath": "/etc/ca", "readOnly": True}
    said = said_of_both(
        extraVolumes=[{"name": "ca", "configMap": {"name": "ca"}}],
        extraVolumeMounts=[mount],
        extraContainers=[{"name": "proxy", "image": "proxy:1"}],
        env=[{"name": "SSL_CERT_FILE", "value": "/etc/ca/ca.crt"}],
    )
    templates = pods(render("order-platform", said))
    for name in (OPERATOR, WORKER):
        spec = templates[name]["spec"]
        ours, theirs = spec["containers"]
        assert {"name": "ca", "configMap": {"name": "ca"}} in spec["volumes"]
        assert {"name": "SSL_CERT_FILE", "value": "/etc/ca/ca.crt"} in ours["env"]
        assert theirs == {"name": "proxy", "image": "proxy:1"}
        for container in [*spec.get("initContainers", []), ours]:
            assert mount in container["volumeMounts"]


def test_probes_have_the_times_that_they_are_given(render: Render) -> None:
    values = {"operator": {"probes": {"liveness": {"periodSeconds": 20, "failureThreshold": 3}}}}
    [container] = pod(only(render("order-platform", values), "Deployment", "order-platform-operator"))["containers"]

    probe = container["livenessProbe"]
    assert (probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]) == (20, 5, 3)


def users(template: Manifest) -> set[str]:
    return set(template["spec"]["securityContext"]) & {"runAsUser", "runAsGroup", "fsGroup"}


@pytest.mark.parametrize(
    ("adapt", "arguments", "own"),
    [
        ("auto", [], True),
        ("auto", ["--api-versions=security.openshift.io/v1"], False),
        ("force", [], False),
        ("disabled", ["--api-versions=security.openshift.io/v1"], True),
    ],
)
def test_on_openshift_pods_get_their_user_from_the_namespace(
    render: Render, adapt: str, arguments: list[str], own: bool
) -> None:
    values = {**SHARED_LEDGER, "global": {"compatibility": {"openshift": {"adaptSecurityContext": adapt}}}}
    for name, template in pods(render("order-platform", values, *arguments, hooks=True)).items():
        assert bool(users(template)) is own, name
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True, name
