"""Who sets the number of a worker's pods."""

from typing import Any

import pytest
from charts import SHARED_LEDGER, Render, RenderingFailed, only

WORKER = "order-platform-worker-orders"


def scaled(**autoscaling: Any) -> dict[str, Any]:
    return {**SHARED_LEDGER, "workers": {"orders": {"autoscaling": autoscaling}}}


@pytest.mark.parametrize("mode", ["hpa", "keda"])
def test_beside_an_autoscaler_the_chart_writes_no_number_of_pods(render: Render, mode: str) -> None:
    """With one an upgrade failed: the number belonged to the autoscaler."""
    values = scaled(mode=mode)
    values["workers"]["orders"]["replicas"] = 3

    assert "replicas" not in only(render("order-platform", values), "Deployment", WORKER)["spec"]


def test_a_worker_is_scaled_by_cpu_within_its_bounds(render: Render) -> None:
    values = scaled(mode="hpa", minReplicas=2, maxReplicas=8, targetCPUUtilizationPercentage=70)
    spec = only(render("order-platform", values), "HorizontalPodAutoscaler", WORKER)["spec"]

    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKER}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 8)
    assert spec["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_a_metric_of_ones_own_takes_the_place_of_cpu(render: Render) -> None:
    metric = {"type": "Pods", "pods": {"metric": {"name": "slots"}, "target": {"type": "AverageValue"}}}
    spec = only(render("order-platform", scaled(mode="hpa", metrics=[metric])), "HorizontalPodAutoscaler", WORKER)[
        "spec"
    ]

    assert spec["metrics"] == [metric]


def test_keda_asks_temporal_how_many_tasks_of_the_workers_queue_wait(render: Render) -> None:
    values = scaled(mode="keda", minReplicas=0, keda={"targetQueueSize": 7, "authentication": "temporal"})
    values["temporal"] = {"address": "temporal:7233", "namespace": "shop"}
    spec = only(render("order-platform", values), "ScaledObject", WORKER)["spec"]

    assert (spec["scaleTargetRef"], spec["minReplicaCount"]) == ({"name": WORKER}, 0)
    [trigger] = spec["triggers"]
    assert trigger["authenticationRef"] == {"name": "temporal"}
    # KEDA takes text only.
    assert trigger["metadata"] == {
        "endpoint": "temporal:7233",
        "namespace": "shop",
        "taskQueue": "orders",
        "queueTypes": "workflow,activity",
        "targetQueueSize": "7",
        "activationTargetQueueSize": "0",
    }


def test_keda_asks_the_namespace_of_a_worker_that_has_its_own(render: Render) -> None:
    entry = {"taskQueue": "ships", "temporalNamespace": "shipping", "autoscaling": {"mode": "keda"}}
    values = {**SHARED_LEDGER, "workers": {"nexus": entry}}
    spec = only(render("order-platform", values), "ScaledObject", "order-platform-worker-nexus")["spec"]

    metadata = spec["triggers"][0]["metadata"]
    assert (metadata["namespace"], metadata["taskQueue"]) == ("shipping", "ships")


def test_a_further_trigger_stands_beside_temporals(render: Render) -> None:
    trigger = {"type": "prometheus", "metadata": {"query": "slots"}}
    spec = only(render("order-platform", scaled(mode="keda", keda={"triggers": [trigger]})), "ScaledObject", WORKER)[
        "spec"
    ]

    assert [each["type"] for each in spec["triggers"]] == ["temporal", "prometheus"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"workers": {"orders": {"autoscaling": {"mode": "hpa"}}}},
            "SQLite file inside one pod, but .* for 5",
        ),
        (scaled(mode="hpa", minReplicas=0), "keeps at least one pod; use mode keda"),
        (scaled(mode="keda", minReplicas=9), "minReplicas is 9, more than maxReplicas, 5"),
    ],
)
def test_bounds_that_cannot_be_are_refused(render: Render, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RenderingFailed, match=complaint):
        render("order-platform", values)
