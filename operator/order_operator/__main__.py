"""`python -m order_operator`: lead, prepare, watch, reconcile; exit when asked to or when the lead is lost."""

import asyncio
import logging
import os
import platform
import signal
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

import aiohttp
import kopf
from kubernetes.aio import client, config
from prometheus_client import REGISTRY

from order_operator import metrics
from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.cluster.api_names import CRDS
from order_operator.cluster.inventory import Inventory
from order_operator.cluster.leadership import Leadership
from order_operator.handlers import build_registry, build_settings
from order_operator.http_endpoints import Health, probe, prometheus_page, serving
from order_operator.orders.classes import OrderClasses
from order_operator.orders.reconcile import Reconciler
from order_operator.orders.retention import Retention
from order_operator.settings import Settings, SettingsError
from order_operator.stock_items.reconcile import StockReconciler
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.scanner import Scanner

CRD_POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


async def run(settings: Settings) -> int:
    """The operator's life; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = Health()
    beating = asyncio.create_task(health.run())
    probes = dict.fromkeys(("/healthz", "/readyz"), lambda: probe(health.problem()))
    async with (
        serving(settings.probes, probes),
        serving(settings.metrics, {"/metrics": prometheus_page}),
        client.ApiClient() as api_client,
    ):
        leadership = Leadership(api_client, settings.lease_namespace, settings.identity)
        try:
            if not await _before(stop, leadership.acquire()):
                return 0
            return await _lead(settings, KubernetesApi(api_client), leadership, health, stop)
        finally:
            metrics.ACTIVE.set(0)
            await leadership.release()
            beating.cancel()


async def _lead(
    settings: Settings, api: KubernetesApi, leadership: Leadership, health: Health, stop: asyncio.Event
) -> int:
    classes = OrderClasses()
    if not await _before(stop, _know_classes(api, classes)):
        return 0
    connection = await TemporalConnection.connect(create_search_attributes=settings.create_search_attributes)
    scanner = Scanner(connection, settings.cluster)
    reconciler = Reconciler(api, connection, classes, scanner, settings)
    stock = StockReconciler(api, connection, scanner, settings)
    retention = Retention(api, connection, classes, reconciler.finished)
    inventory = Inventory(api, [reconciler, stock], settings.namespaces, known=scanner.synced)
    health.watch_alive = lambda: inventory.watch_alive
    gauges = metrics.CurrentOrders(reconciler.statuses)
    REGISTRY.register(gauges)
    metrics.ACTIVE.set(1)
    stop_kopf = asyncio.Event()
    watching = asyncio.create_task(
        kopf.operator(
            registry=build_registry(reconciler, classes, stock),
            settings=build_settings(),
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop_kopf,
        )
    )
    leading = asyncio.create_task(leadership.hold())
    parts = [
        watching,
        leading,
        asyncio.create_task(connection.watch()),
        asyncio.create_task(scanner.run()),
        asyncio.create_task(reconciler.queue.run()),
        asyncio.create_task(stock.queue.run()),
        asyncio.create_task(inventory.run()),
        asyncio.create_task(retention.run()),
    ]
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not stopping and not task.cancelled() and task.exception() is not None:
                logger.error("a part of the operator died", exc_info=task.exception())
                return 1
        if leading in done:
            logger.error("leadership lost; exiting so that nothing is written by two")
            return 1
        return 0
    finally:
        REGISTRY.unregister(gauges)
        stop_kopf.set()
        for task in [*parts[1:], stopping]:
            task.cancel()
        await asyncio.wait([*parts, stopping], timeout=5)


async def _before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work` unless `stop` comes first; whether it was done."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        return False
    task.result()
    return True


async def _know_classes(api: KubernetesApi, classes: OrderClasses) -> None:
    """Fill `classes` once all kinds are served, however long that takes; a fresh API server answers 429 at first."""
    told = ""
    while True:
        try:
            missing = [name for name in CRDS if not await api.crd_established(name)]
            if not missing:
                for body in await api.list_order_classes():
                    classes.put(body)
                return
            problem = f"the cluster has no {', '.join(missing)}: install the chart order-platform-crds"
        except (client.ApiException, NotFound, aiohttp.ClientError, TimeoutError) as failed:
            problem = f"the API server does not answer: {type(failed).__name__}"
        if told != problem:
            logger.warning("waiting: %s", problem)
            told = problem
        await asyncio.sleep(CRD_POLL_SECONDS)


async def _main(settings: Settings) -> int:
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config()  # type: ignore[no-untyped-call]
    return await run(settings)


def main() -> None:
    """Entry point of `order-operator`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("kopf.objects", "kopf.activities"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        settings = Settings.from_environment(os.environ, os.getpid())
    except SettingsError as wrong:
        sys.exit(f"order-operator: {wrong}")
    metrics.BUILD_INFO.labels(
        version=version("order-platform"),
        python=platform.python_version(),
        temporalio=version("temporalio"),
        kopf=version("kopf"),
    ).set(1)
    sys.exit(asyncio.run(_main(settings)))


if __name__ == "__main__":
    main()
