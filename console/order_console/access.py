"""What a caller may do, as the API server answers it; each answer is kept for half a minute."""

import time

from order_console.api_server import ApiError
from order_console.identity import Caller

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
KEPT_SECONDS = 30.0
KEPT_UNANSWERED_SECONDS = 600.0
"""The same while the API server does not answer: pages that are open say so, and keep what they show."""
MAX_KEPT = 10_000
"""Answers. Beyond that all are forgotten, which costs a question each."""


class Access:
    """Asks as the caller: nobody needs the right to ask about others."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[float, bool]] = {}

    async def may(
        self, caller: Caller, verb: str, namespace: str | None, *, resource: str = "orders", name: str = ""
    ) -> bool:
        """Whether the caller has `verb` there; `namespace` None: in all. Raises ApiError."""
        key = (caller.name, caller.groups, verb, namespace, resource, name)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        attributes = {"group": "order-platform.dev", "resource": resource, "verb": verb, "name": name}
        if namespace is not None:
            attributes["namespace"] = namespace
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        try:
            answer = await caller.api.call("POST", REVIEWS, body)
        except ApiError as error:
            if error.status == 0 and kept is not None and time.monotonic() - kept[0] < KEPT_UNANSWERED_SECONDS:
                return kept[1]
            raise
        allowed = bool(answer["status"].get("allowed"))
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = (time.monotonic(), allowed)
        return allowed
