"""The charts as Helm renders them: settings, images, classes and mistakes. Other files have a subject each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import (
    SHARED_LEDGER,
    TEMPORAL_VARIABLES,
    Render,
    RenderingFailed,
    environment,
    granted,
    only,
    pod,
)
from settings_variables import operator_variables, worker_variables

from order_operator.settings import Settings as OperatorSettings

ROOT = Path(__file__).resolve().parents[2]


def test_two_releases_with_long_names_that_begin_alike_have_no_name_in_common(render: Render) -> None:
    """Argo CD makes release names of application names: cut at 40 characters both had the same ClusterRoles, and in one
    namespace the same Lease, so that one of the two operators did nothing, without a word."""
    releases = [f"prod-emea-fulfilment-order-platform-primary-clust-0{number}" for number in (1, 2)]

    first, second = (
        {
            (item["kind"], item["metadata"]["name"])
            for item in render("order-platform", SHARED_LEDGER, release=release)
            if item["kind"] != "OrderClass"
        }
        for release in releases
    )

    assert first & second == set()
    assert max(len(name) for _, name in first | second) <= 63
    assert max(len(name) for kind, name in first | second if kind == "CronJob") <= 52


@pytest.mark.parametrize("release", ["order-platform", "shop-a"])
def test_the_lease_that_an_operator_asks_for_is_that_of_its_release_and_the_only_one_it_may_write(
    render: Render, release: str
) -> None:
    """B20: of two releases in one namespace both asked for the same, and one never did anything, without a word."""
    manifests = render("order-platform", release=release)
    [lease] = [item["metadata"]["name"] for item in manifests if item["kind"] == "Lease"]
    [container] = pod(only(manifests, "Deployment", lease))["containers"]

    assert release in lease
    assert environment(container)["ORDER_OPERATOR_LEASE_NAME"] == lease
    assert f"order-platform/{lease}-leader: get,update on coordination.k8s.io/leases [{lease}]" in granted(
        manifests, "Role"
    )


def test_the_operator_reads_every_variable_that_the_chart_sets(render: Render) -> None:
    [container] = pod(only(render("order-platform"), "Deployment", "order-platform-operator"))["containers"]

    assert environment(container).keys() <= operator_variables() | TEMPORAL_VARIABLES


def test_a_worker_reads_every_variable_that_the_chart_sets(render: Render) -> None:
    spec = pod(only(render("order-platform"), "Deployment", "order-platform-worker-orders"))

    for container in (*spec["initContainers"], *spec["containers"]):
        assert environment(container).keys() <= worker_variables() | TEMPORAL_VARIABLES


def test_the_operators_settings_come_through_the_chart(render: Render) -> None:
    manifests = render(
        "order-platform",
        {
            "cluster": "eu-1",
            "temporal": {"address": "temporal:7233", "namespace": "shop", "uiURL": "https://temporal.example.com"},
            "watch": {"namespaces": ["shop", "outlet"]},
            "operator": {"taskQueue": "q", "createSearchAttributes": False, "metrics": {"port": 9000}},
        },
    )
    [container] = pod(only(manifests, "Deployment", "order-platform-operator"))["containers"]
    variables = {name: value for name, value in environment(container).items() if value is not None}
    settings = OperatorSettings.from_environment(variables)

    assert settings.cluster == "eu-1"
    assert settings.namespaces == ("shop", "outlet")
    assert settings.task_queue == "q"
    assert settings.temporal_ui == "https://temporal.example.com"
    assert settings.create_search_attributes is False
    assert settings.metrics is not None
    assert settings.metrics.port == container["ports"][0]["containerPort"] == 9000
    assert (variables["TEMPORAL_ADDRESS"], variables["TEMPORAL_NAMESPACE"]) == ("temporal:7233", "shop")


def test_a_digest_pins_the_image(render: Render) -> None:
    digest = f"sha256:{'0' * 64}"
    image = {"registry": "mirror:5000", "repository": "shop/operator", "tag": "1", "digest": digest}
    manifests = render("order-platform", {"operator": {"image": image}})

    [container] = pod(only(manifests, "Deployment", "order-platform-operator"))["containers"]
    assert container["image"] == f"mirror:5000/shop/operator@{digest}"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"operater": {}}, "operater"),
        ({"operator": {"replcas": 1}}, "replcas"),
        ({"workers": {"a": {"taskqueue": "b"}}}, "taskqueue"),
        ({"workers": {"a": {"roles": ["billing"]}}}, "roles/0"),
        ({"workers": {"Orders_2": {}}}, "Orders_2"),
        ({"workers": [{"name": "orders", "taskQueue": "orders"}]}, r"a map by name.* workers\.<name>\.taskQueue"),
        (
            {"workers": {"orders": {"terminationGracePeriodSeconds": 25}}},
            r"workers\.orders\.terminationGracePeriodSeconds: the pod would be killed after 25 s",
        ),
        ({"temporal": {"address": "no-port"}}, "/temporal/address"),
        ({"workers": {"orders": {"replicas": 2}}}, "SQLite"),
        ({"workers": {"more": {"taskQueue": "orders"}}}, "SQLite"),
        ({"operator": {"env": [{"name": "TEMPORAL_ADDRESS", "value": "x"}]}}, "TEMPORAL_ADDRESS is set twice"),
        ({"defaultClass": "premium"}, "no installed class is named premium"),
        ({"ledger": {"attempts": {"keepDays": -1}}}, "/ledger/attempts/keepDays"),
        ({"ledger": {"attempts": {"schedule": "daily"}}}, "/ledger/attempts/schedule"),
        ({"worker": {"payment": {"provider": "paypal"}}}, "/worker/payment/provider"),
        (
            {**SHARED_LEDGER, "worker": {"payment": {"provider": "stripe"}}},
            "worker.payment.stripe.existingSecret.name",
        ),
        ({"worker": {"mail": {"provider": "smtp"}}}, "worker.mail.smtp.host"),
        ({"worker": {"mail": {"provider": "smtp", "smtp": {"host": "a", "from": "b@c", "username": "d"}}}}, "together"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_in_the_values_is_refused_by_name(render: Render, values: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(RenderingFailed, match=complaint):
        render("order-platform", values)


def test_the_classes_are_the_committed_ones_and_one_is_the_default(render: Render) -> None:
    rendered = {item["metadata"]["name"]: item for item in render("order-platform") if item["kind"] == "OrderClass"}
    sources = [yaml.safe_load(path.read_text()) for path in (ROOT / "manifests/classes").glob("*.yaml")]

    assert {name: item["spec"] for name, item in rendered.items()} == {
        item["metadata"]["name"]: item["spec"] for item in sources
    }
    default = "order-platform.dev/default-class"
    assert [name for name, item in rendered.items() if default in item["metadata"]["labels"]] == ["standard"]


def test_a_chart_can_be_part_of_another(render: Render) -> None:
    assert render("order-platform", {"global": {"anything": 1}})
