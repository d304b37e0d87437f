"""Who may decode the payloads of an order: people who may read that order in Kubernetes, which says the same and more.

The codec server has no rights of its own. It asks the API server with the caller's bearer token who that is and what
they may do, and keeps the answers for some seconds.
"""

import hashlib
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
MAY_I = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
KEPT_SECONDS = 10.0
"""A right that was taken away counts no longer after so many seconds."""
MOST_KEPT = 10_000
TIMEOUT_SECONDS = 5.0


class NotKnown(Exception):
    """Nobody is known by this token."""


class NotAnswered(Exception):
    """The API server does not answer."""


@dataclass(frozen=True)
class Caller:
    """A person or program, as the API server knows them."""

    name: str
    token: str


class Access(Protocol):
    """Who calls, and what they may read."""

    async def caller(self, token: str) -> Caller:
        """Raises NotKnown, NotAnswered."""
        ...

    async def may_read(self, caller: Caller, namespace: str | None) -> bool:
        """Orders of the Kubernetes namespace; None: what belongs to no namespace. Raises NotAnswered."""
        ...


class ByApiServer:
    """Asks the API server as the caller."""

    def __init__(self, address: str, certificates: ssl.SSLContext | None) -> None:
        """`certificates`: of the API server; None: those that this machine trusts."""
        self._address = address.rstrip("/")
        self._certificates = certificates
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}

    async def caller(self, token: str) -> Caller:
        if not token:
            raise NotKnown  # most API servers know who sends none as system:anonymous
        key = (_digest(token), "")
        name = self._recent(key)
        if name is None:
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            answer = await self._post(WHO_AM_I, body, token)
            name = _found(answer, "status", "userInfo", "username")
            if not isinstance(name, str) or not name:
                raise NotAnswered("the API server does not say who that is")
            self._keep(key, name)
        return Caller(str(name), token)

    async def may_read(self, caller: Caller, namespace: str | None) -> bool:
        key = (_digest(caller.token), namespace or "*")
        allowed = self._recent(key)
        if allowed is None:
            attributes = {
                "group": "order-platform.dev",
                "resource": "orders",
                "verb": "get",
                "namespace": namespace or "",
            }
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            answer = await self._post(MAY_I, body, caller.token)
            allowed = _found(answer, "status", "allowed") is True
            self._keep(key, allowed)
        return bool(allowed)

    async def _post(self, path: str, body: Mapping[str, Any], token: str) -> object:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    f"{self._address}{path}",
                    json=body,
                    headers=headers,
                    ssl=self._certificates if self._certificates is not None else True,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status == 401:
                    raise NotKnown
                if response.status >= 400:
                    raise NotAnswered(f"the API server answered {response.status}")
                answer: object = json.loads(await response.read())
                return answer
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            raise NotAnswered(f"the API server does not answer: {type(error).__name__}") from error

    def _recent(self, key: tuple[str, str]) -> Any:
        until, answer = self._kept.get(key, (0.0, None))
        return answer if until > time.monotonic() else None

    def _keep(self, key: tuple[str, str], answer: Any) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[key] = (time.monotonic() + KEPT_SECONDS, answer)


def _found(answer: object, *path: str) -> object:
    """What stands there; None if nothing does."""
    for name in path:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


class Everybody:
    """For a machine of one person: everybody who reaches the server may decode everything."""

    async def caller(self, token: str) -> Caller:
        return Caller("anybody on this machine", token)

    async def may_read(self, caller: Caller, namespace: str | None) -> bool:  # noqa: ARG002
        return True


def _digest(token: str) -> str:
    """Tokens are not kept."""
    return hashlib.sha256(token.encode()).hexdigest()
