"""All orders that may be seen, kept up to date by a watch, and told to the pages that are open."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from order_console.api_server import ApiError, ApiServer, Gone, orders_path

PAGE_SIZE = "500"
MAX_PAUSE_SECONDS = 10.0
"""Longest wait before the next try while the API server does not answer."""

logger = logging.getLogger(__name__)


class Subscription:
    """Which orders changed since they were last taken. Of what happened in between the newest state counts, so that a
    slow reader costs no memory."""

    def __init__(self) -> None:
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    def tell(self, uid: str) -> None:
        """The order with this uid changed, or is gone."""
        self._changed[uid] = None
        self._news.set()

    async def taken(self) -> AsyncIterator[list[str]]:
        """The uids of what changed, as often as something does."""
        while True:
            await self._news.wait()
            self._news.clear()
            changed, self._changed = list(self._changed), {}
            yield changed


class Reflector:
    """Lists and watches with the rights of `api`."""

    def __init__(self, api: ApiServer, namespace: str | None) -> None:
        """`namespace` None: all orders of the cluster."""
        self._api = api
        self._path = orders_path(namespace)
        self.orders: dict[str, dict[str, Any]] = {}
        """uid -> the resource."""
        self.problem: str | None = "the orders are being read for the first time"
        """Why what is shown may be old; None while the watch runs."""
        self._readers: set[Subscription] = set()

    def find(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The order of that name."""
        for order in self.orders.values():
            metadata = order["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                return order
        return None

    @contextmanager
    def subscription(self) -> Iterator[Subscription]:
        """Told of all changes as long as it is open."""
        reader = Subscription()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                version = await self._list()
                self._say(None)
                failures = 0
                while True:
                    version = await self._follow(version)
            except Gone:
                continue
            except ApiError as error:
                failures += 1
                self._say(error.message)
                logger.warning("orders cannot be watched", extra={"error": error.message, "failures": failures})
                pause = min(MAX_PAUSE_SECONDS, 0.2 * 2**failures)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret

    async def _list(self) -> str:
        found: dict[str, dict[str, Any]] = {}
        token = ""
        while True:
            page = await self._api.call("GET", self._path, query={"limit": PAGE_SIZE, "continue": token})
            found |= {order["metadata"]["uid"]: order for order in page["items"]}
            token = page["metadata"].get("continue", "")
            if not token:
                break
        before, self.orders = self.orders, found
        for uid in before.keys() | found.keys():
            if _version(before.get(uid)) != _version(found.get(uid)):
                self._tell(uid)
        return str(page["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> str:
        async for kind, order in self._api.watch(self._path, version):
            version = order["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            uid = order["metadata"]["uid"]
            if kind == "DELETED":
                self.orders.pop(uid, None)
            else:
                self.orders[uid] = order
            self._tell(uid)
        return version

    def _tell(self, uid: str) -> None:
        for reader in self._readers:
            reader.tell(uid)

    def _say(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self._tell("")  # no order: the head of the page


def _version(order: dict[str, Any] | None) -> str | None:
    return None if order is None else str(order["metadata"]["resourceVersion"])
