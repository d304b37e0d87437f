"""Whether the admission policy is in force that holds the names in an order true.

The chart `order-platform-crds` installs it once per cluster (`templates/policies/orders.yaml`), as a
ValidatingAdmissionPolicy with one binding of the same name. Whoever changes what the policy refuses raises
`RULES_VERSION` here and in the chart: an operator takes a name for proven only by rules that it knows.

Absence proves nothing: what cannot be read is taken as not in force (docs/decisions/0029-how-far-a-name-is-proven.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from order_domain.order import Proof
from order_operator.cluster.api_names import GROUP, ORDERS, RESTORED_LABELS

PROVING_POLICY = "order-platform-orders"
"""ValidatingAdmissionPolicy, and its ValidatingAdmissionPolicyBinding: `by` of a decision, `requestedBy` and `editedBy`
are the caller."""
RULES_LABEL = f"{GROUP}/policy-rules"
"""Label of the policy: the version of its rules."""
RULES_VERSION = "2"
KNOWN_RULES = frozenset({"1", RULES_VERSION})
"""Before 2 no decision came with an order in another name than the caller's."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """How far the name of a decider is proven, and what is missing."""

    proof: Proof
    why: str = ""


NO_EVIDENCE = Evidence(Proof.CLAIMED)
RESTORED = Evidence(
    Proof.CLAIMED,
    "a backup brought the order back, and may have brought the decision: take spec.approval back, take the label "
    f"{' or '.join(sorted(RESTORED_LABELS))} off, and decide once more",
)
"""Of an order that bears the label. The policy lets it come with the decisions of others, and keeps the label on it."""


@dataclass(frozen=True)
class Enforcement:
    """What a look at one namespace has found."""

    since: datetime | None = None
    """Since when policy and binding have been there; None: the policy is not in force."""
    why: str = ""

    def of(self, created: datetime) -> Evidence:
        """For an order that was created then."""
        if self.since is None:
            return Evidence(Proof.CLAIMED, self.why)
        if created <= self.since:
            return Evidence(Proof.CLAIMED, f"the admission policy {PROVING_POLICY} is younger than the order")
        return Evidence(Proof.POLICY)


def enforcement(policy: Json, binding: Json, labels: Mapping[str, str]) -> Enforcement:
    """Of a namespace with these labels. In force is only what is known to be so."""
    flaw = flaw_of(policy, binding)
    matches = (binding.get("spec") or {}).get("matchResources") or {}
    if flaw is None and not selects(matches.get("namespaceSelector") or {}, labels):
        flaw = "does not hold in this namespace: its binding selects other labels"
    if flaw is not None:
        return Enforcement(why=f"the admission policy {PROVING_POLICY} {flaw}")
    created = (datetime.fromisoformat(each["metadata"]["creationTimestamp"]) for each in (policy, binding))
    return Enforcement(since=max(created))


def flaw_of(policy: Json, binding: Json) -> str | None:
    """Why it proves nothing in any namespace."""
    return _flaw_of_policy(policy) or _flaw_of_binding(binding)


def _flaw_of_policy(policy: Json) -> str | None:
    version = (policy["metadata"].get("labels") or {}).get(RULES_LABEL)
    if version not in KNOWN_RULES:
        return f"has version {version} of the rules, and this operator knows {RULES_VERSION}"
    spec = policy.get("spec") or {}
    if spec.get("failurePolicy", "Fail") != "Fail":
        return "lets pass what it cannot judge: its failurePolicy is not Fail"
    matches = spec.get("matchConstraints") or {}
    if spec.get("matchConditions") or _narrows(matches, "namespaceSelector", "objectSelector", "excludeResourceRules"):
        return "does not judge every order: it has conditions, selectors or exceptions"
    if not any(_judges_orders(rule) for rule in matches.get("resourceRules") or ()):
        return f"does not judge CREATE and UPDATE of {ORDERS}.{GROUP}"
    return None


def _judges_orders(rule: Json) -> bool:
    wanted = {"apiGroups": {GROUP}, "resources": {ORDERS}, "operations": {"CREATE", "UPDATE"}, "apiVersions": {"*"}}
    named = {key: set(rule.get(key) or ()) for key in wanted}
    return not rule.get("resourceNames") and all(
        "*" in named[key] or values <= named[key] for key, values in wanted.items()
    )


def _flaw_of_binding(binding: Json) -> str | None:
    spec = binding.get("spec") or {}
    if spec.get("policyName") != PROVING_POLICY:
        return "is not what its binding names"
    if "Deny" not in (spec.get("validationActions") or ()):
        return "warns only: its binding does not deny"
    matches = spec.get("matchResources") or {}
    if _narrows(matches, "objectSelector", "resourceRules", "excludeResourceRules"):
        return "does not judge every order: its binding selects by more than the labels of namespaces"
    return None


def _narrows(matches: Json, *fields: str) -> bool:
    return any(matches.get(field) for field in fields)


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes matches. An operator that is not known matches nothing."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _holds(expression: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False
