"""Once a minute all orders are listed, metadata only, and compared with what the watch has brought and with the open
workflows: a watch that missed something is noticed and made good, and a workflow without an order is cancelled."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence

import aiohttp
from kubernetes.aio import client

from order_operator import metrics
from order_operator.kubernetes_api import KubernetesApi, Listed, NotFound
from order_operator.reconcile import Reconciler

INTERVAL_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Inventory:
    """`watch_alive` turns False when the watch has missed something for more than a whole interval."""

    def __init__(self, api: KubernetesApi, reconciler: Reconciler, namespaces: Sequence[str]) -> None:
        self._api = api
        self._reconciler = reconciler
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._behind: dict[str, Listed] = {}
        self._taken = False
        self.watch_alive = True

    async def run(self) -> None:
        """Take stock until cancelled, for the first time as soon as Temporal's side is known."""
        known = self._reconciler.scanner.synced
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await known.wait()
                    await asyncio.sleep(INTERVAL_SECONDS if self._taken else 0)
            try:
                await self.take()
            except (client.ApiException, NotFound, aiohttp.ClientError, TimeoutError) as failed:
                logger.warning("inventory not taken", extra={"error": str(failed)})

    async def take(self) -> None:
        """One comparison. What was behind in the last one too is fetched now."""
        self._taken = True
        listed: dict[str, Listed] = {}
        versions = []
        for namespace in self._namespaces:
            part, version = await self._api.list_orders(namespace)
            listed |= part
            versions.append(version)
        behind = {item.uid: item for item in self._reconciler.compare(listed, min(versions))}
        missed = [item for uid, item in behind.items() if uid in self._behind]
        self._behind = behind
        self.watch_alive = not missed
        metrics.UNOBSERVED.clear()
        for name, count in Counter(item.namespace for item in missed).items():
            metrics.UNOBSERVED.labels(order_namespace=name).set(count)
        for item in missed:
            logger.warning("the watch missed an order", extra={"order": f"{item.namespace}/{item.name}"})
            try:
                self._reconciler.put(await self._api.get_order(item.namespace, item.name))
            except NotFound:
                continue
