"""What a browser brings along: a sealed cookie, and a proof that a form is ours."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Self

from cryptography.fernet import Fernet, InvalidToken
from starlette.requests import Request
from starlette.responses import Response

COOKIE = "order-console"
MAX_AGE_SECONDS = 12 * 3600
"""A working day: then the person logs in again."""
MAX_COOKIE_BYTES = 3_900
"""Larger ones browsers drop without a word."""
FORM_FIELD = "csrf"


class TooLarge(Exception):
    """The token is too long for a cookie."""


@dataclass(frozen=True)
class Session:
    """`token` is the bearer token that somebody logged in with; empty where another way says who it is."""

    secret: str
    token: str = ""

    @classmethod
    def new(cls, token: str = "") -> Self:
        return cls(secrets.token_urlsafe(24), token)

    def proof(self) -> str:
        """What every form of this session carries."""
        return hmac.new(self.secret.encode(), b"form", hashlib.sha256).hexdigest()

    def proves(self, given: str) -> bool:
        """Whether a form that carries `given` is one of this session."""
        return hmac.compare_digest(self.proof().encode(), given.encode())


class Sessions:
    """Seals sessions into cookies, and opens them."""

    def __init__(self, key: str | None, *, secure: bool, name: str = "") -> None:
        """`key`: any secret text; `secure`: the browser sends the cookie over TLS only; `name` tells consoles of one
        host apart, since browsers know no ports there."""
        digest = hashlib.sha256((key or secrets.token_urlsafe(32)).encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(digest))
        self._secure = secure
        # With this beginning no page of a neighbouring name can put a cookie of its own in the place of ours.
        self._cookie = f"{'__Host-' if secure else ''}{COOKIE}{name}"
        self._secret = hashlib.sha256(b"users" + digest).digest()

    def of_user(self, name: str) -> Session:
        """Of somebody whom a proxy knows and who brings no cookie of ours. It outlives the proxy's tokens."""
        return Session(hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest())

    def of(self, request: Request) -> Session | None:
        """The one that the request brings, if it is ours and not too old."""
        sealed = request.cookies.get(self._cookie, "")
        try:
            opened = json.loads(self._fernet.decrypt(sealed.encode(), ttl=MAX_AGE_SECONDS))
        except (InvalidToken, ValueError):
            return None
        return Session(opened["secret"], opened["token"])

    def give(self, response: Response, session: Session) -> None:
        """Have the browser keep it. Raises TooLarge."""
        sealed = self._fernet.encrypt(json.dumps({"secret": session.secret, "token": session.token}).encode()).decode()
        if len(sealed) > MAX_COOKIE_BYTES:
            raise TooLarge
        response.set_cookie(
            self._cookie, sealed, max_age=MAX_AGE_SECONDS, httponly=True, samesite="strict", secure=self._secure
        )

    def take(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(self._cookie, httponly=True, samesite="strict", secure=self._secure)
