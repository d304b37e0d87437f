"""Requests to the API server as anybody: an administrator impersonates them, as `kubectl --as` does."""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from order_devstack.stack import Stack

API = "/apis/order-platform.dev/v1alpha1"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

Body = Mapping[str, Any] | list[Any]


@dataclass(frozen=True)
class Caller:
    """Whoever sends a request."""

    name: str
    groups: tuple[str, ...] = ()

    @classmethod
    def service_account(cls, namespace: str, name: str) -> "Caller":
        """As the API server sees a pod of that account."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        return cls(f"system:serviceaccount:{namespace}:{name}", groups)


ROOT = Caller("admin", ("system:masters",))


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    code: int
    body: Mapping[str, Any] = field(repr=False)

    @property
    def message(self) -> str:
        """The reason of a refusal; empty if there was none."""
        return "" if self.code < 300 else str(self.body.get("message", self.body))

    def __str__(self) -> str:
        return f"{self.code} {self.message}".strip()


class APIServer:
    """The API server of a stack, by one kept connection."""

    def __init__(self, stack: Stack) -> None:
        config = json.loads(stack.kubeconfig.read_text())
        self._token = config["users"][0]["user"]["token"]
        self._address = urlsplit(config["clusters"][0]["cluster"]["server"]).netloc
        self._tls = ssl.create_default_context(cafile=str(stack.root / "pki" / "apiserver.crt"))
        self._connection: http.client.HTTPSConnection | None = None

    def send(
        self,
        caller: Caller,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        content: str = "application/json",
        dry_run: bool = False,
        token: str | None = None,
    ) -> Answer:
        """One request as `caller`; with `token`, as whomever that belongs to."""
        headers = [("Content-Type", content), ("Authorization", f"Bearer {token or self._token}")]
        if token is None and caller is not ROOT:
            headers += [("Impersonate-User", caller.name), *(("Impersonate-Group", each) for each in caller.groups)]
        if dry_run:
            path += ("&" if "?" in path else "?") + "dryRun=All"
        content_bytes = b"" if body is None else json.dumps(body).encode()
        reused = self._connection is not None
        try:
            code, text = self._exchange(method, path, headers, content_bytes)
        except (OSError, http.client.HTTPException):
            self.close()
            if not reused:
                raise
            # The server closes a connection that was idle, or was started anew.
            code, text = self._exchange(method, path, headers, content_bytes)
        try:
            return Answer(code, json.loads(text))
        except json.JSONDecodeError:
            return Answer(code, {"message": text.decode()})

    def _exchange(self, method: str, path: str, headers: list[tuple[str, str]], content: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(self._address, context=self._tls, timeout=30)
        self._connection.putrequest(method, path)
        for name, value in [*headers, ("Content-Length", str(len(content)))]:
            self._connection.putheader(name, value)
        self._connection.endheaders(content)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.will_close:
            self.close()
        return answer.status, text

    def must(
        self, caller: Caller, method: str, path: str, body: Body | None = None, **options: Any
    ) -> Mapping[str, Any]:
        """The object; AssertionError if the server refuses."""
        answer = self.send(caller, method, path, body, **options)
        assert answer.code < 300, f"{method} {path} as {caller.name}: {answer}"
        return answer.body

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
