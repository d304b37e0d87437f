"""Orders at the API server, by requests that cost a benchmark as little as possible."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from order_devstack.stack import Stack

GROUP, VERSION, PLURAL = "order-platform.dev", "v1alpha1", "orders"
APPROVED = {"approval": {"decision": "Approved", "by": "bench"}}
IN_FLIGHT = 32
"""Requests at a time."""
POLL_SECONDS = 0.1
SETTLED_SECONDS = 0.5
"""A list of one order takes milliseconds otherwise."""


class Orders:
    """The orders of one namespace, by requests that cost this process as little as possible."""

    def __init__(self, session: aiohttp.ClientSession, server: str, namespace: str) -> None:
        self._session, self._server = session, server
        self._url = f"{server}/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"

    def beside(self, namespace: str) -> "Orders":
        """Those of another namespace, by the same connections."""
        return Orders(self._session, self._server, namespace)

    async def create(self, order: dict[str, Any]) -> dict[str, Any]:
        """Place an order."""
        return await self._ask("POST", self._url, order)

    async def approve(self, name: str) -> None:
        """As a person would."""
        await self._ask("PATCH", f"{self._url}/{name}", {"spec": APPROVED}, "application/merge-patch+json")

    async def completed(self, name: str) -> dict[str, Any]:
        """The status once it shows that."""
        while True:
            order = await self._ask("GET", f"{self._url}/{name}")
            status: dict[str, Any] = order.get("status") or {}
            if status.get("phase") == "Completed":
                return status
            await asyncio.sleep(POLL_SECONDS)

    async def settled(self) -> None:
        """Return once the API server has taken in what was put into etcd: until then a list waits for its cache."""
        while True:
            started = time.monotonic()
            await self._ask("GET", f"{self._url}?limit=1")
            if time.monotonic() - started < SETTLED_SECONDS:
                return

    async def unfinished(self) -> int:
        """How many have not completed yet."""
        left, token = 0, ""
        while True:
            query = f"?limit=500&fieldSelector=status.phase%21%3DCompleted&continue={quote(token)}"
            page = await self._ask("GET", self._url + query)
            left, token = left + len(page["items"]), page["metadata"].get("continue", "")
            if not token:
                return left

    async def _ask(self, method: str, url: str, body: Any = None, kind: str = "application/json") -> dict[str, Any]:
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, url, data=data, headers={"Content-Type": kind}) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {url}: {answer.status} {text[:500]}")
            found: dict[str, Any] = json.loads(text)
            return found


@asynccontextmanager
async def orders_of(stack: Stack, namespace: str) -> AsyncIterator[Orders]:
    """As the stack's administrator."""
    known = json.loads(stack.kubeconfig.read_text())
    cluster, token = known["clusters"][0]["cluster"], known["users"][0]["user"]["token"]
    trusted = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=trusted)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"}) as session:
        yield Orders(session, cluster["server"], namespace)
