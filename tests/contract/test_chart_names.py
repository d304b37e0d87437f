"""Names, namespaces and labels of what the chart makes, and two releases in one cluster."""

from typing import Any

import pytest
from charts import SHARED_LEDGER, Render, labels_of, names, pods

IN_THE_CLUSTER = {"ClusterRole", "ClusterRoleBinding", "OrderClass"}


EVERYTHING: dict[str, Any] = {
    **SHARED_LEDGER,
    "networkPolicy": {"enabled": True},
    "workers": {"orders": {"autoscaling": {"mode": "hpa"}}, "shipping": {"autoscaling": {"mode": "keda"}}},
}


def test_everything_carries_the_labels_of_the_release_and_those_of_ones_own(render: Render) -> None:
    values = {**EVERYTHING, "commonLabels": {"team": "shop"}}
    manifests = render("order-platform", values, hooks=True)

    for item in [*manifests, *pods(manifests).values()]:
        assert labels_of(item)["team"] == "shop", item
        assert labels_of(item)["app.kubernetes.io/instance"] == "order-platform"


def test_everything_lies_in_the_namespace_that_is_named(render: Render) -> None:
    values = {**EVERYTHING, "namespaceOverride": "elsewhere"}

    for item in render("order-platform", values, hooks=True):
        if item["kind"] not in IN_THE_CLUSTER and not item["metadata"]["name"].endswith("-identity"):
            assert item["metadata"]["namespace"] == "elsewhere", item
        for subject in item.get("subjects", []):
            assert subject["namespace"] == "elsewhere"


def test_releases_of_one_name_in_two_namespaces_share_nothing_that_the_cluster_has_once(render: Render) -> None:
    """A second `helm install order-platform` in another namespace was refused for its ClusterRoles."""
    values = {**EVERYTHING, "watch": {"namespaces": ["shop"]}, "classes": {"install": False}, "defaultClass": ""}
    first, second = (names(render("order-platform", values, namespace=at, hooks=True)) for at in ("one", "two"))

    assert first & second == set()


@pytest.mark.parametrize(
    ("release", "namespace", "editor"),
    [
        ("order-platform", "order-platform", "order-platform-editor"),
        ("order-platform", "shop", "order-platform-shop-editor"),
        ("team", "team", "team-order-platform-team-editor"),
    ],
)
def test_roles_of_the_cluster_have_the_namespace_in_their_name_unless_it_is_the_releases_own(
    render: Render, release: str, namespace: str, editor: str
) -> None:
    made = names(render("order-platform", release=release, namespace=namespace))

    assert ("ClusterRole", "", editor) in made


def test_no_name_is_longer_than_a_label_may_be(render: Render) -> None:
    long = "a-release-with-a-very-long-name-that-goes-on-for-ever"
    manifests = render("order-platform", EVERYTHING, release=long, namespace="n" * 63, hooks=True)

    assert max(len(item["metadata"]["name"]) for item in manifests) <= 63
    assert max(len(value) for item in manifests for value in labels_of(item).values()) <= 63


def test_objects_of_ones_own_come_with_the_release(render: Render) -> None:
    as_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}}
    as_text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-b'}\n"
    made = names(render("order-platform", {"extraObjects": [as_map, as_text]}))

    assert {("ConfigMap", "", "order-platform-a"), ("ConfigMap", "", "order-platform-b")} <= made
