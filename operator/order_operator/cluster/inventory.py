"""Once a minute all resources are listed, metadata only, and compared with what the watch has brought and with the open
workflows: a watch that missed something is noticed and made good, and a workflow without a resource is cancelled."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import client

from order_operator import metrics
from order_operator.cluster.api import KubernetesApi, Listed, NotFound

INTERVAL_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Books(Protocol):
    """What the operator believes to be there of one kind."""

    plural: str

    def compare(self, listed: Mapping[str, Listed], version: int, /) -> list[Listed]:
        """Make good what has gone since, by a list as of resourceVersion `version`; return what is not known yet."""

    def put(self, body: Mapping[str, Any], /) -> None:
        """Take in one object."""


class Inventory:
    """`watch_alive` turns False when a watch has missed something for more than a whole interval."""

    def __init__(
        self, api: KubernetesApi, books: Sequence[Books], namespaces: Sequence[str], known: asyncio.Event
    ) -> None:
        """`known`: set once Temporal's side is."""
        self._api = api
        self._books = books
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._known = known
        self._behind: set[str] = set()
        self._taken = False
        self.watch_alive = True

    async def run(self) -> None:
        """Take stock until cancelled, for the first time as soon as Temporal's side is known."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._known.wait()
                    await asyncio.sleep(INTERVAL_SECONDS if self._taken else 0)
            try:
                await self.take()
            except (client.ApiException, NotFound, aiohttp.ClientError, TimeoutError) as failed:
                logger.warning("inventory not taken", extra={"error": str(failed)})

    async def take(self) -> None:
        """One comparison. What was behind in the last one too is fetched now."""
        self._taken = True
        behind = [(books, item) for books in self._books for item in await self._compare(books)]
        missed = [(books, item) for books, item in behind if item.uid in self._behind]
        self._behind = {item.uid for _, item in behind}
        self.watch_alive = not missed
        metrics.UNOBSERVED.clear()
        for name, count in Counter(item.namespace for _, item in missed).items():
            metrics.UNOBSERVED.labels(order_namespace=name).set(count)
        for books, item in missed:
            logger.warning("the watch missed one of the %s: %s/%s", books.plural, item.namespace, item.name)
            try:
                books.put(await self._api.get(books.plural, item.namespace, item.name))
            except NotFound:
                continue

    async def _compare(self, books: Books) -> list[Listed]:
        listed: dict[str, Listed] = {}
        versions = []
        for namespace in self._namespaces:
            part, version = await self._api.list_metadata(books.plural, namespace)
            listed |= part
            versions.append(version)
        return books.compare(listed, min(versions))
