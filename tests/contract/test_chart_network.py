"""Who talks to whom, as the chart's NetworkPolicies have it."""

from typing import Any

import pytest
from charts import SHARED_LEDGER, Manifest, Render, kinds, only, pods

ON = {"networkPolicy": {"enabled": True}}
STRIPE = {"payment": {"provider": "stripe", "stripe": {"existingSecret": {"name": "stripe"}}}}


def policy(manifests: list[Manifest], component: str) -> Manifest:
    spec: Manifest = only(manifests, "NetworkPolicy", f"order-platform-{component}")["spec"]
    return spec


def ports(rules: list[Manifest]) -> set[tuple[str, int]]:
    return {(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]}


DNS = {("UDP", 53), ("TCP", 53)}


def test_without_a_word_there_are_no_network_policies(render: Render) -> None:
    assert "NetworkPolicy" not in kinds(render("order-platform"))


def test_the_operator_reaches_names_temporal_and_the_api_server_and_nothing_else(render: Render) -> None:
    manifests = render("order-platform", {**ON, "temporal": {"address": "temporal:7244"}})

    assert ports(policy(manifests, "operator")["egress"]) == DNS | {("TCP", port) for port in (7244, 443, 6443)}


@pytest.mark.parametrize(
    ("values", "further"),
    [
        ({}, set()),
        (SHARED_LEDGER, {5432}),
        ({**SHARED_LEDGER, "worker": STRIPE}, {5432, 443}),
        ({"worker": {"mail": {"provider": "smtp", "smtp": {"host": "mail", "from": "a@example.com"}}}}, {587}),
    ],
    ids=["alone", "postgresql", "stripe", "smtp"],
)
def test_a_worker_reaches_what_its_providers_and_its_ledger_need(
    render: Render, values: dict[str, Any], further: set[int]
) -> None:
    manifests = render("order-platform", {**ON, **values})

    assert ports(policy(manifests, "worker")["egress"]) == DNS | {("TCP", port) for port in {7233, *further}}


def test_every_port_that_a_pod_opens_is_reached_and_no_other(render: Render) -> None:
    manifests = render("order-platform", ON)
    for component, deployment in (("operator", "operator"), ("worker", "worker-orders")):
        [container] = pods(manifests)[f"Deployment/order-platform-{deployment}"]["spec"]["containers"]
        opened = {("TCP", port["containerPort"]) for port in container["ports"]}
        assert ports(policy(manifests, component)["ingress"]) == opened


def test_every_pod_is_under_a_policy(render: Render) -> None:
    manifests = render("order-platform", {**ON, **SHARED_LEDGER}, hooks=True)
    selectors = [item["spec"]["podSelector"]["matchLabels"] for item in manifests if item["kind"] == "NetworkPolicy"]

    for name, template in pods(manifests).items():
        labels = template["metadata"]["labels"]
        assert [s for s in selectors if s.items() <= labels.items()], name


def test_peers_narrow_a_rule_down(render: Render) -> None:
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    database = {"ipBlock": {"cidr": "10.0.0.5/32"}}
    restricted = {"enabled": True, "metrics": {"from": [prometheus]}, "database": {"to": [database]}}
    manifests = render("order-platform", {**SHARED_LEDGER, "networkPolicy": restricted})

    scraped, probed = policy(manifests, "worker")["ingress"]
    assert (scraped["from"], "from" in probed) == ([prometheus], False)
    [to_database] = [rule for rule in policy(manifests, "worker")["egress"] if ports([rule]) == {("TCP", 5432)}]
    assert to_database["to"] == [database]


def test_further_egress_is_everybodys(render: Render) -> None:
    rule = {"ports": [{"protocol": "TCP", "port": 3128}]}
    manifests = render("order-platform", {"networkPolicy": {"enabled": True, "extraEgress": [rule]}})

    for component in ("operator", "worker"):
        assert rule in policy(manifests, component)["egress"]
