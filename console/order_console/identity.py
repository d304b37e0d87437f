"""Who a request comes from, and with whose rights the console acts for it."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from kubernetes.aio.client import ApiClient
from starlette.requests import Request

from order_console.api_server import ApiError, ApiServer, ReadOnly
from order_console.sessions import Session, Sessions

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PROOF_HEADER = "x-order-console-proof"
USER_HEADER, GROUPS_HEADER = "x-forwarded-user", "x-forwarded-groups"
OF_KUBERNETES = "system:"
Known = tuple[str, tuple[str, ...]]
"""Name and groups."""


@dataclass(frozen=True)
class Caller:
    """A person, as the API server knows them, and a way to it with their rights and no others."""

    name: str
    groups: tuple[str, ...]
    api: ApiServer
    session: Session
    reads_only: bool = False
    """Whether it is nobody in particular, who sees no more than lists and orders."""


class NotLoggedIn(Exception):
    """Nobody is known by this request. `why` is for the person."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class Identity(Protocol):
    """One way to know who calls."""

    async def caller(self, request: Request) -> Caller:
        """Raises NotLoggedIn, ApiError."""
        ...


class OfKubeconfig:
    """One person on this machine: whoever opened the link with the token, once, and has the cookie since."""

    def __init__(self, client: ApiClient, sessions: Sessions) -> None:
        self._api = ApiServer(client)
        self._sessions = sessions
        self.token = secrets.token_urlsafe(24)
        self._used = False
        self._name: Known | None = None

    def redeem(self, token: str) -> Session:
        """The session of who has the link. It works once. Raises NotLoggedIn."""
        if self._used or not hmac.compare_digest(token.encode(), self.token.encode()):
            raise NotLoggedIn("this link was used already, or is another console's: start the console again")
        self._used = True
        return Session.new()

    async def caller(self, request: Request) -> Caller:
        session = self._sessions.of(request)
        if session is None:
            raise NotLoggedIn("open the link that the console printed when it started")
        if self._name is None:
            self._name = await who_am_i(self._api)
        name, groups = self._name
        return Caller(name, groups, self._api, session)


KEPT_SECONDS = 30.0
"""So long it counts whose a token is. What is done with it is judged by the API server each time."""
KEPT_UNANSWERED_SECONDS = 600.0
"""The same while the API server does not answer."""
MAX_KEPT = 10_000


class ByToken:
    """The bearer token of a proxy in front, or the one that was given at /login."""

    def __init__(self, client: ApiClient, sessions: Sessions) -> None:
        self._client = client
        self._sessions = sessions
        self._known: dict[bytes, tuple[float, Known]] = {}
        """By the hash of a token: the console keeps no token."""

    def api(self, token: str) -> ApiServer:
        return ApiServer(self._client, (("Authorization", f"Bearer {token}"),))

    async def caller(self, request: Request) -> Caller:
        session = self._sessions.of(request)
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        token = sent if scheme.lower() == "bearer" and sent else session.token if session else ""
        if not token:
            raise NotLoggedIn
        api = self.api(token)
        name, groups = await self._whose(token, api)
        return Caller(name, groups, api, session or self._sessions.of_user(name))

    async def _whose(self, token: str, api: ApiServer) -> Known:
        key = hashlib.sha256(token.encode()).digest()
        kept = self._known.get(key)
        age = time.monotonic() - kept[0] if kept else float("inf")
        if kept and age < KEPT_SECONDS:
            return kept[1]
        try:
            known = await who_am_i(api)
        except ApiError as error:
            if error.status == 0 and kept and age < KEPT_UNANSWERED_SECONDS:
                return kept[1]
            self._known.pop(key, None)
            raise
        if len(self._known) >= MAX_KEPT:
            self._known.clear()
        self._known[key] = (time.monotonic(), known)
        return known


class ByProxy:
    """The user whom a proxy names that proves to be the trusted one. The API server lets the console impersonate."""

    def __init__(self, client: ApiClient, sessions: Sessions, secret: str, groups: Sequence[str] = ()) -> None:
        """`groups`: those that count; empty: all."""
        self._client = client
        self._sessions = sessions
        self._secret = secret
        self._groups = frozenset(groups)

    async def caller(self, request: Request) -> Caller:
        if not hmac.compare_digest(request.headers.get(PROOF_HEADER, "").encode(), self._secret.encode()):
            raise NotLoggedIn("this console is reached through its proxy only")
        user = request.headers.get(USER_HEADER, "")
        if not user:
            raise NotLoggedIn("the proxy names nobody")
        if user.startswith(OF_KUBERNETES):
            raise NotLoggedIn("the proxy names one of Kubernetes' own users, who do not log in")
        # A header that comes several times is one list, as one with commas is.
        given = ",".join(request.headers.getlist(GROUPS_HEADER))
        named = (each.strip() for each in given.split(","))
        groups = tuple(each for each in named if self._counts(each))
        api = impersonating(ApiServer(self._client), user, groups)
        session = self._sessions.of(request) or self._sessions.of_user(user)
        return Caller(user, groups, api, session)

    def _counts(self, group: str) -> bool:
        """One that a cluster gives itself, such as that of its administrators, is never another server's to give."""
        return bool(group) and not group.startswith(OF_KUBERNETES) and (not self._groups or group in self._groups)


class OfNobody:
    """Everybody who reaches the page reads orders with the console's own rights, and changes nothing."""

    def __init__(self, client: ApiClient, sessions: Sessions) -> None:
        self._api = ReadOnly(client)
        self._session = sessions.of_user("")

    async def caller(self, _: Request) -> Caller:
        return Caller("", (), self._api, self._session, reads_only=True)


def impersonating(api: ApiServer, user: str, groups: Sequence[str]) -> ApiServer:
    """The same way, as somebody else."""
    named = (("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups))
    return replace(api, headers=(*api.headers, *named))


async def who_am_i(api: ApiServer) -> Known:
    """Name and groups, as the API server knows them. Raises ApiError."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await api.call("POST", WHO_AM_I, body)
    info = answer["status"]["userInfo"]
    return info["username"], tuple(info.get("groups") or ())
