"""The chart of the kinds, and the admission policies that come with it."""

import pytest
from charts import (
    Render,
    labels_of,
)

from order_operator.cluster.policies import PROVING_POLICY, RULES_LABEL, RULES_VERSION

POLICIES = {"order-platform-orders", "order-platform-classes", "order-platform-status"}


def test_the_policies_hold_where_a_namespace_is_labelled_and_an_operator_knows_their_rules(render: Render) -> None:
    manifests = [item for item in render("order-platform-crds") if item["kind"] != "CustomResourceDefinition"]
    bindings = [item for item in manifests if item["kind"].endswith("Binding")]
    policies = [item for item in manifests if item["kind"].endswith("Policy")]

    assert {item["metadata"]["name"] for item in policies if item["kind"].startswith("Validating")} == POLICIES
    assert {labels_of(item)[RULES_LABEL] for item in policies} == {RULES_VERSION}
    assert {item["metadata"]["name"] for item in bindings} == {item["metadata"]["name"] for item in policies}
    assert PROVING_POLICY in POLICIES
    for binding in bindings:
        selector = binding["spec"]["matchResources"]["namespaceSelector"]
        assert selector == {"matchLabels": {"order-platform.dev/policies": "enforced"}}
        assert binding["spec"]["policyName"] == binding["metadata"]["name"]
        assert binding["spec"].get("validationActions", ["Deny"]) == ["Deny"]
    # For half a minute after the start of an API server one with parameters fails: with Fail it takes no order then.
    by_parameters = {item["metadata"]["name"] for item in policies if "paramKind" in item["spec"]}
    ignoring = {item["metadata"]["name"] for item in policies if item["spec"]["failurePolicy"] == "Ignore"}
    assert ignoring - {"order-platform-stamps"} == by_parameters


def test_a_cluster_without_mutating_policies_gets_the_validating_ones(render: Render) -> None:
    kinds = {item["kind"] for item in render("order-platform-crds", None, "--kube-version=1.32.0")}

    assert "ValidatingAdmissionPolicy" in kinds


def test_the_policies_can_be_left_out_or_hold_everywhere(render: Render) -> None:
    without = render("order-platform-crds", {"policies": {"enabled": False}})
    everywhere = render("order-platform-crds", {"policies": {"namespaceSelector": {"matchLabels": None}}})

    assert {item["kind"] for item in without} == {"CustomResourceDefinition"}
    selectors = [
        item["spec"]["matchResources"]["namespaceSelector"] for item in everywhere if item["kind"].endswith("Binding")
    ]
    assert selectors == [{}] * len(selectors)
    assert selectors


@pytest.mark.parametrize(("keep", "annotations"), [(True, {"helm.sh/resource-policy": "keep"}), (False, None)])
def test_the_kinds_survive_an_uninstall_if_they_are_to(
    render: Render, keep: bool, annotations: dict[str, str] | None
) -> None:
    manifests = render("order-platform-crds", {"keep": keep})

    kinds = [item for item in manifests if item["kind"] == "CustomResourceDefinition"]
    assert [item["metadata"].get("annotations") for item in kinds] == [annotations] * 3
