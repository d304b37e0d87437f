"""One Deployment per task queue."""

import pytest
from charts import (
    SHARED_LEDGER,
    Render,
    deployments,
    environment,
    in_the_pod,
    only,
    pod,
)

from order_worker.settings import Role
from order_worker.settings import Settings as WorkerSettings


def test_a_pod_outlives_the_grace_of_its_worker(render: Render) -> None:
    manifests = render("order-platform", {"worker": {"gracefulShutdownSeconds": 100}})
    spec = pod(only(manifests, "Deployment", "order-platform-worker-orders"))
    variables = {name: value for name, value in environment(spec["containers"][0]).items() if value is not None}
    grace = WorkerSettings.from_environment(variables).graceful_shutdown.total_seconds()

    assert (grace, spec["terminationGracePeriodSeconds"]) == (100, 115)


def test_each_task_queue_gets_a_deployment_of_its_own(render: Render) -> None:
    workers = {"orders": {"replicas": 3}, "shipping": {"taskQueue": "ships"}}
    manifests = render("order-platform", {**SHARED_LEDGER, "workers": workers})

    shipping = only(manifests, "Deployment", "order-platform-worker-shipping")
    orders = only(manifests, "Deployment", "order-platform-worker-orders")
    assert (orders["spec"]["replicas"], shipping["spec"]["replicas"]) == (3, 1)
    assert environment(pod(shipping)["containers"][0])["ORDER_WORKER_TASK_QUEUE"] == "ships"
    assert orders["spec"]["selector"] != shipping["spec"]["selector"]


def test_a_worker_for_shipments_can_have_its_own_namespace_in_temporal(render: Render) -> None:
    workers = {
        "orders": {"roles": ["orders"]},
        "nexus": {"taskQueue": "shipping", "roles": ["shipping"], "temporalNamespace": "shipping"},
    }
    manifests = render("order-platform", {**SHARED_LEDGER, "workers": workers})

    for name, role, queue, namespace in (
        ("orders", Role.ORDERS, "orders", "default"),
        ("nexus", Role.SHIPPING, "shipping", "shipping"),
    ):
        [container] = pod(only(manifests, "Deployment", f"order-platform-worker-{name}"))["containers"]
        variables = in_the_pod(container)
        settings = WorkerSettings.from_environment(variables)
        assert (settings.roles, settings.task_queue) == ({role}, queue)
        assert variables["TEMPORAL_NAMESPACE"] == namespace


def test_a_worker_without_words_of_its_own_has_all_roles_and_a_task_queue_of_its_name(render: Render) -> None:
    manifests = render("order-platform", {"workers": {"orders": None, "all": {}}})

    [container] = pod(only(manifests, "Deployment", "order-platform-worker-all"))["containers"]
    variables = {key: value for key, value in environment(container).items() if value is not None}
    settings = WorkerSettings.from_environment(variables)
    assert (settings.roles, settings.task_queue) == (set(Role), "all")
    assert deployments(manifests) == {"order-platform-operator", "order-platform-worker-all"}


def test_a_number_of_replicas_alone_changes_the_scale_and_nothing_else(render: Render) -> None:
    """As a list, `workers` lost resources and roles of the entry, so that scaling was a rolling update."""
    before = render("order-platform", SHARED_LEDGER)
    after = render("order-platform", SHARED_LEDGER, "--set", "workers.orders.replicas=3")

    assert only(after, "Deployment", "order-platform-worker-orders")["spec"].pop("replicas") == 3
    assert only(before, "Deployment", "order-platform-worker-orders")["spec"].pop("replicas") == 1
    assert before == after


def test_what_an_entry_says_goes_over_the_defaults_key_by_key(render: Render) -> None:
    manifests = render("order-platform", {"workers": {"orders": {"resources": {"limits": {"memory": "1Gi"}}}}})

    [container] = pod(only(manifests, "Deployment", "order-platform-worker-orders"))["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "1Gi"}}


def test_no_replicas_of_a_worker_is_a_number_too(render: Render) -> None:
    manifests = render("order-platform", {"workers": {"orders": {"replicas": 0}}})

    assert only(manifests, "Deployment", "order-platform-worker-orders")["spec"]["replicas"] == 0


def test_the_number_of_pods_can_be_left_to_somebody_else(render: Render) -> None:
    values = {"operator": {"replicas": None}, "workers": {"orders": {"replicas": None}}}

    for name in deployments(manifests := render("order-platform", values)):
        assert "replicas" not in only(manifests, "Deployment", name)["spec"]


@pytest.mark.parametrize("deployment", ["order-platform-operator", "order-platform-worker-orders"])
def test_a_pod_is_ready_within_a_second_of_serving(render: Render, deployment: str) -> None:
    [container] = pod(only(render("order-platform"), "Deployment", deployment))["containers"]

    assert container["startupProbe"]["httpGet"] == container["readinessProbe"]["httpGet"]
    assert container["startupProbe"]["periodSeconds"] == 1


def test_new_operators_stand_by_before_the_first_old_one_goes(render: Render) -> None:
    operator = only(render("order-platform"), "Deployment", "order-platform-operator")

    assert operator["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "100%", "maxUnavailable": 0}


def test_how_much_a_pod_does_at_a_time_is_said_by_values(render: Render) -> None:
    tuned = {"workers": {"orders": {"maxConcurrentActivities": 7, "maxConcurrentWorkflowTasks": 3}}}

    [container] = pod(only(render("order-platform", tuned), "Deployment", "order-platform-worker-orders"))["containers"]
    variables = {name: value for name, value in environment(container).items() if name.startswith("ORDER_WORKER_MAX")}
    settings = WorkerSettings.from_environment({name: value for name, value in variables.items() if value is not None})

    assert (settings.max_concurrent_activities, settings.max_concurrent_workflow_tasks) == (7, 3)
