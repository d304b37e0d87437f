"""Whether the names of deciders are proven: rows 19 and 20 of the feature table, DESIGN 8."""

import asyncio
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from order_domain.order import Proof
from order_operator import metrics
from order_operator.cluster.api import ApiUnreachable, KubernetesApi, NotFound
from order_operator.cluster.policies import (
    PROVING_POLICY,
    RULES_LABEL,
    RULES_VERSION,
    Evidence,
    enforcement,
    flaw_of,
    selects,
)
from order_operator.cluster.policy_watch import PolicyWatch

Json = dict[str, Any]

CREATED = "2026-01-01T00:00:00Z"
LATER = datetime(2026, 1, 2, tzinfo=UTC)
LABELS = {"order-platform.dev/policies": "enforced"}
POLICY: Json = {
    "metadata": {"name": PROVING_POLICY, "labels": {RULES_LABEL: RULES_VERSION}, "creationTimestamp": CREATED},
    "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [
                {
                    "apiGroups": ["order-platform.dev"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["orders"],
                    "scope": "*",
                }
            ],
        },
        "validations": [{"expression": "true"}],
    },
}
BINDING: Json = {
    "metadata": {"name": PROVING_POLICY, "creationTimestamp": CREATED},
    "spec": {
        "policyName": PROVING_POLICY,
        "validationActions": ["Deny"],
        "matchResources": {"matchPolicy": "Equivalent", "namespaceSelector": {"matchLabels": LABELS}},
    },
}


def changed(of: Json, path: str, value: object) -> Json:
    body = copy.deepcopy(of)
    *way, last = path.split(".")
    at: Any = body
    for key in way:
        at = at[int(key) if key.isdigit() else key]
    at[last] = value
    return body


def test_what_the_chart_installs_proves_the_names_of_a_younger_order() -> None:
    assert enforcement(POLICY, BINDING, LABELS).of(LATER).proof is Proof.POLICY


def test_a_binding_may_audit_beside_denying() -> None:
    binding = changed(BINDING, "spec.validationActions", ["Audit", "Deny"])

    assert enforcement(POLICY, binding, LABELS).of(LATER).proof is Proof.POLICY


RULE = "spec.matchConstraints.resourceRules.0"


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("metadata.labels", {RULES_LABEL: "0"}, "has version 0 of the rules"),
        ("metadata.labels", None, "has version None of the rules"),
        ("spec.failurePolicy", "Ignore", "failurePolicy is not Fail"),
        ("spec.matchConditions", [{"name": "some", "expression": "false"}], "does not judge every order"),
        ("spec.matchConstraints.objectSelector", {"matchLabels": {"a": "b"}}, "does not judge every order"),
        ("spec.matchConstraints.namespaceSelector", {"matchLabels": {"a": "b"}}, "does not judge every order"),
        ("spec.matchConstraints.excludeResourceRules", [{"operations": ["UPDATE"]}], "does not judge every order"),
        ("spec.matchConstraints.resourceRules", [], "does not judge CREATE and UPDATE"),
        (f"{RULE}.operations", ["CREATE"], "does not judge CREATE and UPDATE"),
        (f"{RULE}.resources", ["orders/status"], "does not judge CREATE and UPDATE"),
        (f"{RULE}.apiGroups", ["acme.cert-manager.io"], "does not judge CREATE and UPDATE"),
        (f"{RULE}.resourceNames", ["order-1"], "does not judge CREATE and UPDATE"),
    ],
)
def test_a_policy_that_lets_some_orders_pass_proves_nothing(path: str, value: object, why: str) -> None:
    evidence = enforcement(changed(POLICY, path, value), BINDING, LABELS).of(LATER)

    assert evidence.proof is Proof.CLAIMED
    assert why in evidence.why


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("spec.policyName", "another", "is not what its binding names"),
        ("spec.validationActions", ["Warn", "Audit"], "warns only"),
        ("spec.matchResources.objectSelector", {"matchLabels": {"a": "b"}}, "selects by more than"),
        ("spec.matchResources.resourceRules", [{"operations": ["CREATE"]}], "selects by more than"),
        ("spec.matchResources.excludeResourceRules", [{"operations": ["UPDATE"]}], "selects by more than"),
        ("spec.matchResources.namespaceSelector", {"matchLabels": {"team": "shop"}}, "does not hold in this namespace"),
    ],
)
def test_a_binding_that_does_not_deny_everywhere_proves_nothing(path: str, value: object, why: str) -> None:
    evidence = enforcement(POLICY, changed(BINDING, path, value), LABELS).of(LATER)

    assert evidence.proof is Proof.CLAIMED
    assert why in evidence.why


@pytest.mark.parametrize("younger", ["policy", "binding"])
def test_the_name_in_an_order_that_is_older_than_policy_or_binding_is_not_proven(younger: str) -> None:
    objects = {"policy": POLICY, "binding": BINDING}
    objects[younger] = changed(objects[younger], "metadata.creationTimestamp", LATER.isoformat())
    found = enforcement(objects["policy"], objects["binding"], LABELS)

    assert found.of(LATER + timedelta(seconds=1)).proof is Proof.POLICY
    assert found.of(LATER).proof is Proof.CLAIMED
    assert "younger than the order" in found.of(LATER).why


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}, {"a": "2"}, False),
    ],
)
def test_labels_are_selected_as_kubernetes_does(selector: Json, labels: dict[str, str], matches: bool) -> None:
    assert selects(selector, labels) is matches


class Cluster(KubernetesApi):
    """Answers from memory."""

    def __init__(self) -> None:
        self.policy: Json | Exception = POLICY
        self.binding: Json | Exception = BINDING
        self.labels: dict[str, dict[str, str]] = {"shop": LABELS}
        self.looks = 0

    async def admission_policy(self, _name: str) -> Json:
        self.looks += 1
        if isinstance(self.policy, Exception):
            raise self.policy
        return self.policy

    async def admission_policy_binding(self, _name: str) -> Json:
        if isinstance(self.binding, Exception):
            raise self.binding
        return self.binding

    async def namespace_labels(self, name: str) -> dict[str, str]:
        return self.labels[name]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def told() -> list[set[str]]:
    """The namespaces of which something else was found."""
    return []


@pytest.fixture
def watch(cluster: Cluster, told: list[set[str]]) -> PolicyWatch:
    return PolicyWatch(cluster, changed=lambda namespaces: told.append(set(namespaces)))  # type: ignore[call-overload]


async def seen(watch: PolicyWatch, created: datetime = LATER, namespace: str = "shop") -> Evidence:
    """What the first look finds."""
    while (found := watch.evidence(namespace, created)) is None:  # noqa: ASYNC110 - the look is a task of its own
        await asyncio.sleep(0)
    return found


async def test_nothing_is_known_before_the_first_look_and_its_end_is_told(
    watch: PolicyWatch, told: list[set[str]]
) -> None:
    assert watch.evidence("shop", LATER) is None
    assert await seen(watch) == Evidence(Proof.POLICY)
    assert told == [{"shop"}]


async def test_a_thousand_decisions_make_one_look(watch: PolicyWatch, cluster: Cluster) -> None:
    for _ in range(1_000):
        await seen(watch)

    assert cluster.looks == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (NotFound("none"), "is not installed, or has no binding"),
        (ApiUnreachable("the API server does not answer"), "cannot be read: the API server does not answer"),
    ],
)
@pytest.mark.parametrize("of", ["policy", "binding"])
async def test_what_cannot_be_read_proves_nothing_and_is_no_error(
    watch: PolicyWatch, cluster: Cluster, of: str, answer: Exception, why: str
) -> None:
    setattr(cluster, of, answer)

    found = await seen(watch)

    assert found.proof is Proof.CLAIMED
    assert why in found.why
    assert metrics.POLICY_ENFORCED._value.get() == 0


async def test_orders_that_were_there_while_the_policy_was_off_are_not_proven_when_it_is_on_again(
    watch: PolicyWatch, cluster: Cluster, told: list[set[str]]
) -> None:
    cluster.labels["shop"] = {}
    assert (await seen(watch)).proof is Proof.CLAIMED
    cluster.labels["shop"] = LABELS

    await watch.look()

    assert (await seen(watch, created=datetime.now(UTC) - timedelta(seconds=9))).proof is Proof.CLAIMED
    assert (await seen(watch, created=datetime.now(UTC) + timedelta(seconds=9))).proof is Proof.POLICY
    assert told == [{"shop"}, {"shop"}]
    assert metrics.POLICY_ENFORCED._value.get() == 1


async def test_a_look_without_an_answer_takes_no_proof_away_for_good(watch: PolicyWatch, cluster: Cluster) -> None:
    cluster.policy = ApiUnreachable("the API server does not answer")
    assert (await seen(watch)).proof is Proof.CLAIMED
    cluster.policy = POLICY

    await watch.look()

    assert (await seen(watch)).proof is Proof.POLICY


async def test_a_look_that_finds_the_same_is_no_news(watch: PolicyWatch, told: list[set[str]]) -> None:
    await seen(watch)

    await watch.look()

    assert told == [{"shop"}]


async def test_before_any_decision_the_gauge_says_whether_the_policy_is_there_at_all(
    watch: PolicyWatch, cluster: Cluster
) -> None:
    await watch.look()
    assert metrics.POLICY_ENFORCED._value.get() == 1

    cluster.binding = NotFound("none")
    await watch.look()
    assert metrics.POLICY_ENFORCED._value.get() == 0


@pytest.mark.parametrize("version", ["1", RULES_VERSION])
def test_rules_of_a_release_that_let_less_pass_prove_names_as_well(version: str) -> None:
    policy = {**POLICY, "metadata": {**POLICY["metadata"], "labels": {RULES_LABEL: version}}}

    assert flaw_of(policy, BINDING) is None


def test_a_decision_that_a_backup_may_have_brought_is_claimed(watch: PolicyWatch) -> None:
    """Under the policy it came in the name of somebody who is not the caller."""
    evidence = watch.evidence("shop", LATER, restored=True)

    assert evidence is not None
    assert evidence.proof is Proof.CLAIMED
    assert "velero.io/restore-name" in evidence.why
