"""What a caller may do, as the API server answers it; each answer is kept for half a minute."""

import asyncio
import time
from collections.abc import Iterable
from itertools import compress

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
        self._asked: dict[tuple[object, ...], asyncio.Task[bool]] = {}
        """Questions that are not answered yet: who has the same meanwhile waits for the same answer."""

    async def may(
        self, caller: Caller, verb: str, namespace: str | None, *, resource: str = "orders", name: str = ""
    ) -> bool:
        """Whether the caller has `verb` there; `namespace` None: in all. Raises ApiError."""
        key = _key(caller, verb, namespace, resource, name)
        kept = self._kept.get(key)
        known = _fresh(kept)
        if known is not None:
            return known
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._ask(caller, verb, namespace, resource, name))
            asked.add_done_callback(lambda answered: self._forget(key, answered))
        try:
            allowed = await asyncio.shield(asked)  # a page that is closed takes nobody's answer along
        except ApiError as error:
            if error.status == 0 and kept is not None and time.monotonic() - kept[0] < KEPT_UNANSWERED_SECONDS:
                return kept[1]
            raise
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = (time.monotonic(), allowed)
        return allowed

    async def where(self, caller: Caller, verb: str, namespaces: Iterable[str]) -> frozenset[str]:
        """Those of the namespaces in which the caller has `verb` on orders. What is not known is asked side by side.
        Raises ApiError."""
        allowed, unknown = set[str](), list[str]()
        for namespace in namespaces:
            known = _fresh(self._kept.get(_key(caller, verb, namespace)))
            if known is None:
                unknown.append(namespace)
            elif known:
                allowed.add(namespace)
        answers = await asyncio.gather(*(self.may(caller, verb, namespace) for namespace in unknown))
        return frozenset(allowed).union(compress(unknown, answers))

    def _forget(self, key: tuple[object, ...], answered: asyncio.Task[bool]) -> None:
        self._asked.pop(key, None)
        if not answered.cancelled():
            answered.exception()  # seen, also where nobody waits for it any more

    async def _ask(self, caller: Caller, verb: str, namespace: str | None, resource: str, name: str) -> bool:
        attributes = {"group": "order-platform.dev", "resource": resource, "verb": verb, "name": name}
        if namespace is not None:
            attributes["namespace"] = namespace
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await caller.api.call("POST", REVIEWS, body)
        return bool(answer["status"].get("allowed"))


def _key(
    caller: Caller, verb: str, namespace: str | None, resource: str = "orders", name: str = ""
) -> tuple[object, ...]:
    return (caller.name, caller.groups, verb, namespace, resource, name)


def _fresh(kept: tuple[float, bool] | None) -> bool | None:
    """An answer that still counts; None if there is none."""
    return kept[1] if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS else None
