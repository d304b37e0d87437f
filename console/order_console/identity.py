"""Who a request comes from, and with whose rights the console acts for it."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from kubernetes.aio.client import ApiClient
from starlette.requests import Request

from order_console.api_server import ApiServer
from order_console.sessions import Session, Sessions

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PROOF_HEADER = "x-order-console-proof"
USER_HEADER, GROUPS_HEADER = "x-forwarded-user", "x-forwarded-groups"


@dataclass(frozen=True)
class Caller:
    """A person, as the API server knows them, and a way to it with their rights and no others."""

    name: str
    groups: tuple[str, ...]
    api: ApiServer
    session: Session


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
        self._name: tuple[str, tuple[str, ...]] | None = None

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


class ByToken:
    """The bearer token of a proxy in front, or the one that was given at /login."""

    def __init__(self, client: ApiClient, sessions: Sessions) -> None:
        self._client = client
        self._sessions = sessions

    def api(self, token: str) -> ApiServer:
        return ApiServer(self._client, (("Authorization", f"Bearer {token}"),))

    async def caller(self, request: Request) -> Caller:
        session = self._sessions.of(request)
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        token = sent if scheme.lower() == "bearer" and sent else session.token if session else ""
        if not token:
            raise NotLoggedIn
        api = self.api(token)
        name, groups = await who_am_i(api)
        return Caller(name, groups, api, session or Session(secret=token))


class ByProxy:
    """The user whom a proxy names that proves to be the trusted one. The API server lets the console impersonate."""

    def __init__(self, client: ApiClient, sessions: Sessions, secret: str) -> None:
        self._client = client
        self._sessions = sessions
        self._secret = secret

    async def caller(self, request: Request) -> Caller:
        if not hmac.compare_digest(request.headers.get(PROOF_HEADER, "").encode(), self._secret.encode()):
            raise NotLoggedIn("this console is reached through its proxy only")
        user = request.headers.get(USER_HEADER, "")
        if not user:
            raise NotLoggedIn("the proxy names nobody")
        groups = tuple(filter(None, (each.strip() for each in request.headers.get(GROUPS_HEADER, "").split(","))))
        api = impersonating(ApiServer(self._client), user, groups)
        session = self._sessions.of(request) or Session(secret=self._secret + user)
        return Caller(user, groups, api, session)


def impersonating(api: ApiServer, user: str, groups: Sequence[str]) -> ApiServer:
    """The same way, as somebody else."""
    named = (("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups))
    return replace(api, headers=(*api.headers, *named))


async def who_am_i(api: ApiServer) -> tuple[str, tuple[str, ...]]:
    """Name and groups, as the API server knows them. Raises ApiError."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await api.call("POST", WHO_AM_I, body)
    info = answer["status"]["userInfo"]
    return info["username"], tuple(info.get("groups") or ())
