"""`python -m order_operator`: lead, prepare, watch, reconcile; exit when asked to or when the lead is lost. With an
argument one of the commands instead."""

import argparse
import asyncio
import gc
import logging
import os
import platform
import signal
import sys
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NoReturn, TypeVar
from urllib.request import getproxies

import aiohttp
from kubernetes.aio import client, config
from prometheus_client import REGISTRY
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError
from yaml import YAMLError

from order_operator import command_line, metrics
from order_operator.cluster.api import KubernetesApi
from order_operator.cluster.api_names import ORDER_CLASSES
from order_operator.cluster.inventory import Inventory
from order_operator.cluster.leadership import Leadership
from order_operator.cluster.neighbours import Neighbours
from order_operator.commands.before_uninstall import Installation, Uninstallation
from order_operator.commands.check import Check
from order_operator.commands.forget_customer import Forgetting
from order_operator.commands.patience import Patience, told
from order_operator.commands.prepare_temporal import Preparation, Wanted
from order_operator.figures import Figures, Sources
from order_operator.http_endpoints import Health, pages, prometheus_page
from order_operator.orders.class_status import ClassStatuses
from order_operator.orders.classes import OrderClasses, WatchedClasses
from order_operator.orders.orphans import LastLoss
from order_operator.orders.reconcile import Reconciler
from order_operator.orders.retention import Retention
from order_operator.preconditions import Preconditions
from order_operator.settings import Settings, one_line
from order_operator.stock_items.reconcile import StockReconciler
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.scanner import Scanner
from order_operator.watch_liveness import WatchLiveness
from order_operator.watching import on_this_loop, watches_of
from order_process import logs, temporal_access
from order_process.command_line import Exit, in_a_sentence
from order_process.probes import serving
from order_process.settings import SettingsError
from order_workflows.contract import whose

STOP_SECONDS = 0.5
"""What is under way when the operator is stopped gets this time; the next leader makes good what was not done."""

logger = logging.getLogger("order_operator")

T = TypeVar("T")


async def run(settings: Settings) -> int:
    """The operator's life; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = Health()
    beating = asyncio.create_task(health.run())
    async with (
        serving(settings.probes, pages(health), variable="ORDER_OPERATOR_PROBES_ADDRESS"),
        serving(settings.metrics, {"/metrics": prometheus_page}, variable="ORDER_OPERATOR_METRICS_ADDRESS"),
        client.ApiClient() as api_client,
    ):
        leadership = Leadership(
            api_client,
            settings.lease_namespace,
            settings.lease_name,
            settings.identity,
            watches=settings.namespaces,
        )
        lease = f"{settings.lease_namespace}/{settings.lease_name}"
        neighbours = Neighbours(api_client, lease, settings.namespaces)
        health.lease_problem = lambda: leadership.problem
        api = KubernetesApi(api_client, lambda: leadership.leads)
        preconditions = Preconditions(api)
        health.unmet = lambda: preconditions.problem
        try:
            for first in (preconditions.kinds, leadership.acquire):
                if await _before([stop.wait()], first()) is None:
                    return 0
            looking = asyncio.create_task(neighbours.run())
            try:
                return await _lead(settings, api, preconditions, leadership, health, stop)
            finally:
                looking.cancel()
        finally:
            metrics.ACTIVE.set(0)
            await leadership.release()
            beating.cancel()


async def _lead(
    settings: Settings,
    api: KubernetesApi,
    preconditions: Preconditions,
    leadership: Leadership,
    health: Health,
    stop: asyncio.Event,
) -> int:
    leading = asyncio.create_task(leadership.hold())
    try:
        classes = OrderClasses()
        knowing = preconditions.classes(classes, settings.cluster)
        ready = await _before([stop.wait(), asyncio.shield(leading)], knowing)
        if ready is None:
            return _exit_code(leading)
        settings = settings.model_copy(update={"cluster": ready.result()})
        logger.info("this installation's identity in Temporal", extra={"cluster": settings.cluster})
        return await _serve(settings, api, classes, leading, leadership, health, stop)
    finally:
        leading.cancel()


async def _serve(
    settings: Settings,
    api: KubernetesApi,
    classes: OrderClasses,
    leading: asyncio.Task[None],
    leadership: Leadership,
    health: Health,
    stop: asyncio.Event,
) -> int:
    connection = await TemporalConnection.connect(create_search_attributes=settings.create_search_attributes)
    scanner = Scanner(connection)
    loss = LastLoss(leadership.orders_lost_at, leadership.keep_orders_lost_at)
    reconciler = Reconciler(api, connection, classes, scanner, settings, lambda: leadership.leads, loss)
    stock = StockReconciler(api, connection, scanner, settings, may_act=lambda: leadership.leads)
    retention = Retention(api, connection, classes, reconciler.finished)
    # Installations that watch some namespaces share the classes of others, and have no right to write their statuses.
    class_statuses = ClassStatuses(api, classes, lambda: leadership.leads and not settings.namespaces)
    watched_classes = WatchedClasses(classes, reconciler.intake.classes_changed, class_statuses)
    liveness = WatchLiveness()
    inventory = Inventory(
        api,
        [reconciler.intake, stock.intake],
        settings.namespaces,
        known=scanner.synced,
        classes_listed=watched_classes.listed,
        has_listed=liveness.has_listed,
        went_back=reconciler.intake.orders_lost,
    )
    health.watch_problem = lambda: liveness.problem() or inventory.problem
    for namespace in settings.namespaces:
        metrics.watching(namespace)
    gauges = Figures(
        Sources(
            orders=reconciler.figures,
            below_minimum=stock.below_minimum,
            longest_running={
                reconciler.intake.plural: reconciler.queue.running.longest,
                stock.intake.plural: stock.queue.running.longest,
                ORDER_CLASSES: class_statuses.queue.running.longest,
            },
            watch_ages=liveness.ages,
            namespaces=settings.namespaces,
        )
    )
    REGISTRY.register(gauges)
    metrics.ACTIVE.set(1)
    watches = watches_of(
        settings.namespaces,
        orders=reconciler.intake,
        stock=stock.intake,
        classes=watched_classes,
        deliver=on_this_loop(),
        liveness=liveness,
    )
    parts = [
        asyncio.create_task(part)
        for part in (
            connection.watch(),
            connection.rotate(),
            scanner.run(),
            reconciler.queue.run(),
            reconciler.pending_work.run(),
            reconciler.task_queues.run(),
            reconciler.policies.run(),
            stock.queue.run(),
            class_statuses.queue.run(),
            inventory.run(),
            retention.run(),
        )
    ]
    stopping = asyncio.create_task(stop.wait())
    for watch in watches:
        watch.start()
    try:
        done, _ = await asyncio.wait([*parts, leading, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task not in (stopping, leading) and not task.cancelled() and task.exception() is not None:
                logger.error("a part of the operator died", exc_info=task.exception())
                return 1
        return _exit_code(leading)
    finally:
        REGISTRY.unregister(gauges)
        for task in [*parts, stopping]:
            task.cancel()
        for watch in watches:
            watch.stop()
        await asyncio.wait([*parts, stopping], timeout=STOP_SECONDS)


def _exit_code(leading: asyncio.Task[None]) -> int:
    if leading.done():
        logger.error("leadership lost; exiting so that nothing is written by two")
        return 1
    return 0


async def _before(ends: Sequence[Awaitable[Any]], work: Coroutine[Any, Any, T]) -> asyncio.Task[T] | None:
    """Do `work`, and give its task, unless one of `ends` comes first. Raises what `work` raises."""
    task = asyncio.create_task(work)
    ending = [asyncio.ensure_future(end) for end in ends]
    await asyncio.wait([task, *ending], return_when=asyncio.FIRST_COMPLETED)
    for end in ending:
        end.cancel()
    if not task.done():
        task.cancel()
        return None
    task.result()
    return task


async def _main(settings: Settings) -> int:
    await _log_in()
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=logs.of_the_sdk())), error_if_already_set=False)
    temporal_access.read(os.environ)  # read again when this process leads; a mistake in it is told at once
    return await run(settings)


async def _log_in() -> None:
    """To the API server. Raises SettingsError."""
    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            await config.load_kube_config()
        except (config.ConfigException, OSError, YAMLError, TypeError, ValueError) as wrong:
            file = os.environ.get("KUBECONFIG") or "~/.kube/config"
            message = f"no way to the API server: this is no pod, and KUBECONFIG, {file}: {one_line(wrong)}"
            raise SettingsError(message) from wrong
    configuration = client.Configuration.get_default_copy()
    configuration.client_session_kwargs = session_settings(getproxies())
    client.Configuration.set_default(configuration)


def session_settings(proxies: Mapping[str, str]) -> dict[str, Any]:
    """For aiohttp. Where it trusts the environment, it reads `.netrc` and looks for a proxy at each request, both in
    another thread: two thirds of a request's CPU. `proxies` are those that the environment names, mostly none."""
    return {"trust_env": bool(proxies)}


def _collect_garbage_seldom() -> None:
    """A page of 500 orders is a hundred thousand objects of Python that all live until the page is through: looking for
    garbage after each 700 new ones finds none, and took half of the time that reading the page takes."""
    gc.freeze()  # the modules stay
    gc.set_threshold(50_000)


async def _command(parsed: argparse.Namespace, settings: Settings) -> int:
    """One of the commands, with its exit code."""
    patience = Patience(parsed.patience)
    try:
        if parsed.command == "prepare-temporal":
            connection = await TemporalConnection.connect(create_search_attributes=False)
            wanted = Wanted(parsed.namespace, parsed.retention_days, parsed.nexus_endpoint)
            preparation = Preparation(connection.client, wanted, patience, _say, dry_run=parsed.dry_run)
            try:
                await preparation.run()
            except (RPCError, RuntimeError) as failed:
                _say(f"{command_line.PROGRAM} {parsed.command}: {connection.flaw or told(failed)}")
                return Exit.FAILED
            return Exit.FAILED if preparation.lacking else Exit.FINE
        await _log_in()
        async with client.ApiClient() as api:
            if parsed.command == "check":
                connection = await TemporalConnection.connect(create_search_attributes=False)
                fit = await Check(api, connection, settings, patience, _say).run()
                return Exit.FINE if fit else Exit.FAILED
            if parsed.command == "forget-customer":
                temporal = (await TemporalConnection.connect(create_search_attributes=False)).client
                temporals = [temporal, *(_of_namespace(temporal, each) for each in parsed.namespace)]
                forgetting = Forgetting(api, temporals, settings.namespaces, patience, _say)
                return Exit.FINE if await forgetting.run(parsed.customer_id) else Exit.FAILED
            going = Installation(
                settings.namespaces,
                settings.lease_namespace,
                parsed.deployment,
                settings.lease_name,
                parsed.way_back,
            )
            gone = await Uninstallation(api, going, patience, _say).run(parsed.open_orders)
            return Exit.FINE if gone else Exit.FAILED
    except (RPCError, RuntimeError, client.ApiException, aiohttp.ClientError, OSError) as failed:
        _say(f"{command_line.PROGRAM} {parsed.command}: {told(failed)}")
        return Exit.FAILED


def _of_namespace(temporal: Client, namespace: str) -> Client:
    """The same server, another of its namespaces."""
    return Client(temporal.service_client, namespace=namespace, data_converter=temporal.data_converter)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator until SIGTERM or SIGINT, or one of the commands; the exit code of a command, or of an operator
    that was refused a start."""
    parsed = command_line.parser().parse_args(arguments)
    logs.configure(whose)
    if parsed.command:
        _end(
            in_a_sentence(
                command_line.PROGRAM, lambda: asyncio.run(_command(parsed, Settings.from_environment(os.environ)))
            )
        )
    _collect_garbage_seldom()
    for chatty in ("kopf.objects", "kopf.activities", "kopf._core.engines.activities"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # that its thread is not the main one
    logging.getLogger("kubernetes.aio.config").setLevel(logging.ERROR)  # a file that is missing is told below
    metrics.BUILD_INFO.labels(
        version=version("order-platform"),
        python=platform.python_version(),
        temporalio=version("temporalio"),
        kopf=version("kopf"),
    ).set(1)
    code = in_a_sentence(command_line.PROGRAM, lambda: asyncio.run(_main(Settings.from_environment(os.environ))))
    if code == Exit.WRONG_USE:
        return code
    logger.info("stopped", extra={"code": code})
    return _end(code)


def _end(code: int) -> NoReturn:
    """Everything is done: the Lease is given back, connections are closed, each log line was written out. Python itself
    would now take down its modules under the threads of kopf and of Temporal's SDK, which aborts the process now and
    then, and wait for those that look up names: for about a second, or for as long as a name server hangs."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
