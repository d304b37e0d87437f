"""Whether the admission policy is in force that holds the names in an order true.

The chart `order-platform-crds` installs it once per cluster (`templates/policies/orders.yaml`), as a
ValidatingAdmissionPolicy with one binding of the same name. Whoever changes what the policy refuses raises
`RULES_VERSION` here and in the chart: an operator takes a name for proven only by rules that it knows.

Absence proves nothing: what cannot be read is taken as not in force (docs/decisions/0029-how-far-a-name-is-proven.md).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from order_domain.order import Proof
from order_operator import metrics
from order_operator.background import Background
from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.cluster.api_names import GROUP, ORDERS
from order_operator.work_queue import TryLater

PROVING_POLICY = "order-platform-orders"
"""ValidatingAdmissionPolicy, and its ValidatingAdmissionPolicyBinding: `by` of a decision, `requestedBy` and `editedBy`
are the caller."""
RULES_LABEL = f"{GROUP}/policy-rules"
"""Label of the policy: the version of its rules."""
RULES_VERSION = "1"

LOOK_SECONDS = 60.0
FORGOTTEN_SECONDS = 600.0
"""A namespace in which no decision was awaited for so long is no longer looked at."""

Json = Mapping[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evidence:
    """How far the name of a decider is proven, and what is missing."""

    proof: Proof
    why: str = ""


NO_EVIDENCE = Evidence(Proof.CLAIMED)


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
    flaw = _flaw(policy, binding)
    matches = (binding.get("spec") or {}).get("matchResources") or {}
    if flaw is None and not selects(matches.get("namespaceSelector") or {}, labels):
        flaw = "does not hold in this namespace: its binding selects other labels"
    if flaw is not None:
        return Enforcement(why=f"the admission policy {PROVING_POLICY} {flaw}")
    created = (datetime.fromisoformat(each["metadata"]["creationTimestamp"]) for each in (policy, binding))
    return Enforcement(since=max(created))


def _flaw(policy: Json, binding: Json) -> str | None:
    """Why it proves nothing in any namespace."""
    return _flaw_of_policy(policy) or _flaw_of_binding(binding)


def _flaw_of_policy(policy: Json) -> str | None:
    version = (policy["metadata"].get("labels") or {}).get(RULES_LABEL)
    if version != RULES_VERSION:
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


class PolicyWatch:
    """Looks once a minute, at the namespaces in which decisions are awaited. An order never makes it look, except the
    first of a namespace."""

    def __init__(self, api: KubernetesApi, changed: Callable[[Container[str]], None]) -> None:
        """`changed` is told of the namespaces of which something else is found than before."""
        self._api = api
        self._changed = changed
        self._background = Background()
        self._found: dict[str, Enforcement] = {}
        self._asked_at: dict[str, float] = {}
        self._last_seen_off: dict[str, datetime] = {}

    def evidence(self, namespace: str, created: datetime) -> Evidence | None:
        """About an order of this namespace that was created then; None until the first look at the namespace is
        through, which takes a moment."""
        known = namespace in self._asked_at
        self._asked_at[namespace] = time.monotonic()
        if not known:
            self._background.spawn(self._look([namespace]))
        found = self._found.get(namespace)
        return None if found is None else found.of(created)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Once, at every namespace in which a decision was awaited of late."""
        limit = time.monotonic() - FORGOTTEN_SECONDS
        for namespace in [name for name, at in self._asked_at.items() if at < limit]:
            del self._asked_at[namespace]
            self._found.pop(namespace, None)
        await self._look(list(self._asked_at))

    async def _look(self, namespaces: list[str]) -> None:
        before, everywhere = dict(self._found), False
        try:
            policy = await self._api.admission_policy(PROVING_POLICY)
            binding = await self._api.admission_policy_binding(PROVING_POLICY)
        except NotFound:
            missing = Enforcement(why=f"the admission policy {PROVING_POLICY} is not installed, or has no binding")
            self._found |= {namespace: self._off(namespace, missing) for namespace in namespaces}
        except TryLater as failed:
            self._found |= dict.fromkeys(namespaces, _unreadable(failed))
        else:
            everywhere = _flaw(policy, binding) is None
            for namespace in namespaces:
                self._found[namespace] = await self._of(namespace, policy, binding)
        metrics.POLICY_ENFORCED.set(everywhere and all(found.since is not None for found in self._found.values()))
        self._tell(before)

    async def _of(self, namespace: str, policy: Json, binding: Json) -> Enforcement:
        try:
            labels = await self._api.namespace_labels(namespace)
        except (NotFound, TryLater) as failed:
            return _unreadable(failed)
        found = enforcement(policy, binding, labels)
        if found.since is None:
            return self._off(namespace, found)
        off = self._last_seen_off.get(namespace)
        return found if off is None else Enforcement(since=max(found.since, off))

    def _off(self, namespace: str, found: Enforcement) -> Enforcement:
        """Whatever comes later, orders of now were not created and decided about under the policy."""
        self._last_seen_off[namespace] = datetime.now(UTC)
        return found

    def _tell(self, before: Mapping[str, Enforcement]) -> None:
        changed = {namespace for namespace, found in self._found.items() if found != before.get(namespace)}
        for namespace in changed:
            found, was = self._found[namespace], before.get(namespace)
            if was is not None and was.why == found.why:
                continue
            extra = {"namespace": namespace, "PolicyEnforced": found.since is not None}
            if found.since is None:
                logger.warning("names of deciders are claimed, not proven", extra={**extra, "error": found.why})
            else:
                logger.info("names of deciders are proven by policy", extra=extra)
        if changed:
            self._changed(changed)


def _unreadable(failed: Exception) -> Enforcement:
    return Enforcement(why=f"whether the admission policy {PROVING_POLICY} is in force cannot be read: {failed}")
