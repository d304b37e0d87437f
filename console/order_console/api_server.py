"""Calls to the Kubernetes API server, each with the rights of one caller."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from multidict import CIMultiDict

TIMEOUT_SECONDS = 10.0
WATCH_SECONDS = 300
"""After so long the API server ends a watch, and it is begun again."""
MERGE_PATCH = "application/merge-patch+json"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
GROUP_PATH = "/apis/order-platform.dev/v1alpha1"
_REVIEWS = "/apis/authorization.k8s.io/"
"""Questions about rights, which write nothing."""
READ_ONLY = "this console is for reading alone: it knows nobody, so nobody changes anything here"


class Gone(Exception):
    """The changes since that version are no longer known: list again."""


class ApiError(Exception):
    """The API server refused, or did not answer. `status` 0: there was no answer."""

    def __init__(self, status: int, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.fields = dict(fields or {})
        """Path of a field, `spec.lines[0].sku`, -> what is wrong with it."""


@dataclass(frozen=True)
class ApiServer:
    """`headers` say who calls, where that is somebody else than `client`'s own credentials say."""

    client: ApiClient
    headers: tuple[tuple[str, str], ...] = ()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        """The object that the API server answers with. Raises ApiError."""
        response = await self._send(method, path, body, query or {}, content, TIMEOUT_SECONDS)
        try:
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, f"the API server broke off: {error}") from error
        try:
            answer: dict[str, Any] = json.loads(text) if text else {}
        except ValueError:  # of something between here and the API server
            raise ApiError(response.status, f"what answered {response.status} is no API server") from None
        if response.status >= 400:
            raise _refusal(response.status, answer)
        return answer

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Kind of change (`ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`) and object, since `version`. Ends after some
        minutes. Raises ApiError, and Gone."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        response = await self._send("GET", path, None, query, "application/json", WATCH_SECONDS + TIMEOUT_SECONDS)
        async with response:
            if response.status == 410:
                raise Gone
            if response.status >= 400:
                raise _refusal(response.status, json.loads(await response.read() or b"{}"))
            try:
                async for event in _events(response.content):
                    if event["type"] == "ERROR":
                        if event["object"].get("code") == 410:
                            raise Gone
                        raise _refusal(event["object"].get("code", 0), event["object"])
                    yield event["type"], event["object"]
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise ApiError(0, f"the watch broke off: {error}") from error

    async def _send(
        self, method: str, path: str, body: Any, query: Mapping[str, str], content: str, seconds: float
    ) -> aiohttp.ClientResponse:
        try:
            prepared = await self.client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": content},
                auth_settings=[] if any(name == "Authorization" for name, _ in self.headers) else ["BearerToken"],
            )
            _, url, own, *_ = prepared
            headers = CIMultiDict([*own.items(), *self.headers])  # one name may come several times
            answered = await self.client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=aiohttp.ClientTimeout(total=seconds)
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"the API server does not answer: {error}") from error
        response: aiohttp.ClientResponse = answered.response
        return response


class ReadOnly(ApiServer):
    """The same way for people who may only look, whatever rights the client has."""

    async def _send(
        self, method: str, path: str, body: Any, query: Mapping[str, str], content: str, seconds: float
    ) -> aiohttp.ClientResponse:
        if method != "GET" and not path.startswith(_REVIEWS):
            raise ApiError(403, READ_ONLY)
        return await super()._send(method, path, body, query, content, seconds)


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """One for each line, however long: aiohttp's own end at 128 KiB, and an order may be larger. Raises ValueError."""
    rest = bytearray()
    async for part in content.iter_any():
        rest += part
        *lines, rest = rest.split(b"\n") if b"\n" in part else (rest,)
        for line in lines:
            yield json.loads(line)
    if rest:
        raise ValueError("in the middle of a change")


def _refusal(status: int, answer: Mapping[str, Any]) -> ApiError:
    causes = (answer.get("details") or {}).get("causes") or []
    fields = {str(cause["field"]): str(cause.get("message", "")) for cause in causes if cause.get("field")}
    return ApiError(status, str(answer.get("message") or f"the API server answered {status}"), fields)


def orders_path(namespace: str | None, name: str | None = None) -> str:
    """Of all orders, of those of a namespace, or of one."""
    where = "" if namespace is None else f"/namespaces/{segment(namespace)}"
    return f"{GROUP_PATH}{where}/orders" + ("" if name is None else f"/{segment(name)}")


def segment(name: str) -> str:
    """One part of a path, whatever somebody wrote: no other path, and no query. Raises ApiError."""
    if not _NAME.fullmatch(name):
        raise ApiError(404, f"nothing is called {name!r} in Kubernetes")
    return name
