"""The default class of each namespace: what the label `order-platform.dev/default-class` of the namespace names."""

import time
from typing import Protocol

from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL

MAX_AGE_SECONDS = 5.0
"""How long an answer counts: a burst of orders without a class costs one question."""


class NamespaceLabels(Protocol):
    """Who can ask for them."""

    async def namespace_labels(self, name: str, /) -> dict[str, str]:
        """The labels of the namespace."""


class NamespaceDefaults:
    """Asked only for orders that name no class and have not begun."""

    def __init__(self, api: NamespaceLabels) -> None:
        self._api = api
        self._known: dict[str, tuple[float, str | None]] = {}

    async def learn(self, namespace: str) -> None:
        """Ask, unless the answer is young."""
        asked, _ = self._known.get(namespace, (0.0, None))
        if not asked or time.monotonic() - asked > MAX_AGE_SECONDS:
            labels = await self._api.namespace_labels(namespace)
            self._known[namespace] = (time.monotonic(), labels.get(DEFAULT_CLASS_LABEL))

    def of(self, namespace: str) -> str | None:
        """The last answer; None if the namespace has no default of its own."""
        return self._known.get(namespace, (0.0, None))[1]
