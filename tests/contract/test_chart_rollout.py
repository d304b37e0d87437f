"""New code by Temporal's worker controller: old orders end on the pods that they began on."""

from typing import Any

import pytest
from charts import SHARED_LEDGER, Render, RenderingFailed, in_the_pod, kinds, only

from order_worker.bootstrap import deployment
from order_worker.settings import Settings

WORKER = "order-platform-worker-orders"
BY_THE_CONTROLLER = {
    "TEMPORAL_ADDRESS": "temporal:7233",
    "TEMPORAL_NAMESPACE": "default",
    "TEMPORAL_DEPLOYMENT_NAME": f"{WORKER}/order-platform",
    "TEMPORAL_WORKER_BUILD_ID": "abc",
}
"""What it adds to the variables of a container."""


def versioned(**rollout: Any) -> dict[str, Any]:
    entry = {"replicas": 2, "rollout": {"mode": "workerController", **rollout}}
    return {**SHARED_LEDGER, "workers": {"orders": entry}}


def test_the_controller_gets_the_pods_that_a_deployment_would_have(render: Render) -> None:
    plain = only(render("order-platform", {**SHARED_LEDGER}), "Deployment", WORKER)["spec"]["template"]
    manifests = render("order-platform", versioned())
    made = only(manifests, "WorkerDeployment", WORKER)["spec"]

    theirs = {each["name"] for each in made["template"]["spec"]["containers"][0]["env"]}
    ours = {each["name"] for each in plain["spec"]["containers"][0]["env"]}
    assert made["template"]["metadata"] == plain["metadata"]
    # Twice in one container they would be refused by server-side apply.
    assert ours - theirs == {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}
    assert made["replicas"] == 2
    assert "selector" not in made
    assert [i["metadata"]["name"] for i in manifests if i["kind"] == "Deployment"] == ["order-platform-operator"]


def test_a_worker_of_the_controller_tells_temporal_its_version(render: Render) -> None:
    made = only(render("order-platform", versioned()), "WorkerDeployment", WORKER)
    [container] = made["spec"]["template"]["spec"]["containers"]

    config = deployment(Settings.from_environment({**in_the_pod(container), **BY_THE_CONTROLLER}))

    assert config is not None
    assert config.version.build_id == "abc"


def test_new_code_gets_new_orders_step_by_step_and_old_pods_stay_a_while(render: Render) -> None:
    spec = only(render("order-platform", versioned(deleteDelay="48h")), "WorkerDeployment", WORKER)["spec"]

    assert spec["rollout"]["strategy"] == "Progressive"
    assert [step["rampPercentage"] for step in spec["rollout"]["steps"]] == [1, 25]
    assert spec["sunset"] == {"scaledownDelay": "1h", "deleteDelay": "48h"}


def test_a_connection_is_made_unless_one_is_named(render: Render) -> None:
    manifests = render("order-platform", {**versioned(), "temporal": {"address": "temporal:7244"}})
    own = render("order-platform", versioned(connection="cloud", strategy="AllAtOnce"))

    [connection] = [item for item in manifests if item["kind"] == "Connection"]
    options = only(manifests, "WorkerDeployment", WORKER)["spec"]["workerOptions"]
    assert options == {"connectionRef": {"name": connection["metadata"]["name"]}, "temporalNamespace": "default"}
    assert connection["spec"] == {"hostPort": "temporal:7244"}
    assert "Connection" not in kinds(own)
    spec = only(own, "WorkerDeployment", WORKER)["spec"]
    assert (spec["workerOptions"]["connectionRef"], spec["rollout"]) == ({"name": "cloud"}, {"strategy": "AllAtOnce"})


def test_an_autoscaler_of_all_versions_is_refused(render: Render) -> None:
    values = versioned()
    values["workers"]["orders"]["autoscaling"] = {"mode": "hpa"}

    with pytest.raises(RenderingFailed, match="each version is scaled on its own"):
        render("order-platform", values)
