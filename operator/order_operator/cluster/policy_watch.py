"""Looks from time to time whether the admission policy is in force in the namespaces in which decisions are awaited."""

import asyncio
import logging
import time
from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime

from order_operator import metrics
from order_operator.background import Background
from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.cluster.policies import PROVING_POLICY, RESTORED, Enforcement, Evidence, Json, enforcement, flaw_of
from order_operator.work_queue import TryLater

LOOK_SECONDS = 60.0
FORGOTTEN_SECONDS = 600.0
"""A namespace in which no decision was awaited for so long is no longer looked at."""

logger = logging.getLogger(__name__)


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

    def evidence(self, namespace: str, created: datetime, *, restored: bool = False) -> Evidence | None:
        """About an order of this namespace that was created then, or `restored` from a backup; None until the first
        look at the namespace is through, which takes a moment."""
        if restored:
            return RESTORED
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
            everywhere = flaw_of(policy, binding) is None
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
