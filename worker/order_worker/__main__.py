"""The command `order-worker`."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from temporalio.worker import Worker

from order_codec.settings import data_converter
from order_domain.errors import LedgerUnavailable, TransientError
from order_process import logs
from order_process.command_line import Exit, in_a_sentence
from order_process.probes import probes, serving
from order_process.temporal_refusals import refusal
from order_worker import audit_commands, bootstrap, command_line, metrics, sdk_logs, shutdown
from order_worker.ledger import attempts, installations, schema, stock
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.ledger.schema import SchemaMismatch
from order_worker.settings import Settings
from order_worker.temporal_connection import TemporalConnection
from order_workflows.contract import whose

LOG = logging.getLogger("order_worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker until SIGTERM or SIGINT, or one of the commands; returns the exit code."""
    parsed = command_line.parser().parse_args(arguments)
    logs.configure(whose)
    sdk_logs.configure()
    return in_a_sentence(command_line.PROGRAM, lambda: _carry_out(parsed), wrong_use=(SchemaMismatch,))


def _carry_out(parsed: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    try:
        if parsed.command == "migrate":
            return _migrate(settings)
        if parsed.command == "check-ledger":
            return asyncio.run(_check_ledger(settings))
        if parsed.command == "ensure-stock":
            return asyncio.run(_ensure_stock(settings, dict(parsed.pieces)))
        if parsed.command == "assign-cluster":
            return asyncio.run(_assign_cluster(settings, parsed.cluster, parsed.namespace))
        audited = audit_commands.run(parsed, settings, os.environ)
        if audited is not None:
            return audited
        if parsed.command == "prune-attempts":
            return asyncio.run(_prune_attempts(settings, timedelta(days=parsed.older_than_days)))
        return asyncio.run(_run(settings))
    except LedgerUnavailable as error:
        sys.stderr.write(f"{command_line.PROGRAM}: {audit_commands.with_its_cause(error)}\n")
        return Exit.FAILED


def _migrate(settings: Settings) -> int:
    engine = connect(settings.ledger_url)
    try:
        revision = schema.migrate(engine, lambda line: sys.stderr.write(f"{line}\n"))
    finally:
        engine.dispose()
    sys.stdout.write(f"the ledger's schema is at {revision}\n")
    return 0


async def _check_ledger(settings: Settings) -> int:
    ledger = await Ledger.open(settings.ledger_url)
    try:
        await ledger.ping()
    finally:
        await ledger.close()
    sys.stdout.write("ok   ledger: it answers, and its schema suits this release\n")
    return 0


async def _ensure_stock(settings: Settings, pieces: dict[str, int]) -> int:
    ledger = await Ledger.open(settings.ledger_url)
    try:
        added = await ledger.transaction(partial(stock.ensure, wanted=pieces))
    finally:
        await ledger.close()
    for sku, is_new in added.items():
        sys.stdout.write(f"{sku}: {f'added with {pieces[sku]}' if is_new else 'exists, left alone'}\n")
    return 0


async def _assign_cluster(settings: Settings, cluster: str, namespace: str | None) -> int:
    ledger = await Ledger.open(settings.ledger_url)
    try:
        total = await installations.assign(ledger, cluster, namespace)
    finally:
        await ledger.close()
    sys.stdout.write(f"{total or 'no'} orders assigned to {cluster}\n")
    return 0


async def _prune_attempts(settings: Settings, age: timedelta) -> int:
    before = datetime.now(UTC) - age
    total = 0
    ledger = await Ledger.open(settings.ledger_url)
    try:
        async for deleted in attempts.prune(ledger, before):
            total += deleted
            if deleted:
                sys.stdout.write(f"{total} deleted so far\n")
                sys.stdout.flush()
    finally:
        await ledger.close()
    sys.stdout.write(f"{total or 'no'} attempts deleted, of orders that made none since {before:%Y-%m-%d %H:%M} UTC\n")
    return 0


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    audit_keys = KeyRing.from_environment(os.environ)
    if audit_keys is None:
        LOG.warning(
            "the audit chain has no key: anybody who can write the ledger can forge it; set ORDER_LEDGER_AUDIT_KEY_FILE"
        )
    ledger = await Ledger.open(settings.ledger_url, audit_keys, url_now=settings.ledger_url_now)
    try:
        providers = await bootstrap.Providers.open(settings, os.environ)
        try:
            await _work(settings, ledger, providers, stop)
        finally:
            await providers.close()
    finally:
        await ledger.close()
    LOG.info("stopped")
    return 0


def _told_of_every_series(settings: Settings) -> dict[str, str]:
    """Labels by which the metrics of two versions of a worker are told apart; none of one that has no version."""
    labels = {
        "temporal_worker_deployment_name": settings.deployment_name,
        "temporal_worker_build_id": settings.deployment_build_id,
    }
    return {name: value for name, value in labels.items() if value is not None}


async def _work(settings: Settings, ledger: Ledger, providers: bootstrap.Providers, stop: asyncio.Event) -> None:
    address = str(settings.metrics_address) if settings.metrics_address else None
    runtime = metrics.runtime(address, _told_of_every_series(settings))
    converter = data_converter(os.environ, leave_refused=True)
    connection = TemporalConnection(
        os.environ,
        partial(bootstrap.connect, runtime=runtime, converter=converter),
        metrics.Metrics(runtime.metric_meter).credential_ends,
    )

    async def alive() -> None:
        """The event loop turns, or this would not be answered."""

    async def ready() -> str | None:
        if connection.problem is not None or not connection.polls:
            return "not polling Temporal" + (f": {connection.problem}" if connection.problem else "")
        try:
            await ledger.ping()
        except TransientError as error:
            return str(error)
        return None

    stopping = asyncio.create_task(stop.wait())
    pages = probes(alive=alive, ready=ready)
    try:
        async with serving(settings.probes_address, pages, variable="ORDER_WORKER_PROBES_ADDRESS"):
            if not await _unless(stopping, connection.connect()):
                return
            watching = asyncio.create_task(connection.watch())
            try:
                while not stopping.done() and not watching.done():
                    worker = bootstrap.build_worker(connection.client, settings, ledger, providers)
                    connection.serve(worker)
                    LOG.info("polling task queue %s as %s", settings.task_queue, ", ".join(sorted(settings.roles)))
                    refused = await _poll(worker, {stopping, watching}, settings.graceful_shutdown)
                    if refused is not None:
                        await _unless(stopping, connection.until_let_in(refused))
                if watching.done():
                    await watching  # it never ends but by an error
            finally:
                watching.cancel()
    finally:
        stopping.cancel()


async def _poll(worker: Worker, ends: set[asyncio.Task[Any]], grace: timedelta) -> str | None:
    """Run the worker until one of `ends`, or until Temporal lets it in no more: then the reason. The SDK gives a worker
    up whose polls were refused for a minute. Raises what else ends it."""
    running = asyncio.create_task(worker.run())
    await asyncio.wait({running, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        LOG.info("stopping, activities may go on for %s", grace)
        await shutdown.stop(worker, running, grace)
        return None
    failed = running.exception()
    refused = refusal(failed) if failed is not None else None
    if refused is None:
        await running
    return refused


async def _unless(stopping: asyncio.Task[Any], work: Coroutine[Any, Any, None]) -> bool:
    """Do `work`, whether it ended before `stopping` did. Raises what `work` raises."""
    task = asyncio.create_task(work)
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return False
    await task
    return True


if __name__ == "__main__":
    sys.exit(main())
