"""The command `order-worker`."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from temporalio.worker import Worker

from order_domain.errors import LedgerUnavailable, TransientError
from order_process import logs
from order_worker import audit_commands, bootstrap, metrics, sdk_logs, shutdown
from order_worker.health import Health
from order_worker.ledger import attempts, installations, schema, stock
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.ledger.schema import SchemaMismatch
from order_worker.settings import Settings, SettingsError
from order_workflows.contract import whose

LOG = logging.getLogger("order_worker")

REFUSED = 2
"""Exit code for settings, arguments or a schema that somebody has to put right first."""


VARIABLES = """environment:
  ORDER_WORKER_ROLES                       orders, shipping or both, with a comma (default: both)
  ORDER_WORKER_TASK_QUEUE                  Temporal task queue (default: orders; with the role shipping alone, shipping)
  ORDER_LEDGER_URL                         sqlite:///<file> or postgresql://<user>@<host>/<database>
  ORDER_LEDGER_AUDIT_KEY                   lines of <key id>: <base64 of 32 bytes or more>, the current key first; or
                                           ORDER_LEDGER_AUDIT_KEY_FILE, a file that holds them. None: no seal with a key
  ORDER_LEDGER_AUDIT_KEY_FILE              read anew when it has changed
  ORDER_WORKER_PAYMENT_PROVIDER            simulated or stripe (default: simulated); stripe needs a ledger on postgresql
  ORDER_WORKER_MAIL_PROVIDER               simulated or smtp (default: simulated)
  ORDER_WORKER_PROVIDER_STORE              file of the simulated providers (default: order-providers.db; with a
                                           ledger on postgresql a schema of its database)
  ORDER_WORKER_METRICS_ADDRESS             <host>:<port> of /metrics; empty: none (default: 0.0.0.0:9464)
  ORDER_WORKER_HEALTH_ADDRESS              <host>:<port> of /livez and /readyz; empty: none (default: 0.0.0.0:8081)
  ORDER_WORKER_GRACEFUL_SHUTDOWN_SECONDS   how long activities may go on after SIGTERM (default: 25)
  ORDER_WORKER_MAX_CONCURRENT_ACTIVITIES   (default: 100)
  ORDER_WORKER_MAX_CONCURRENT_WORKFLOW_TASKS  (default: 20)
  ORDER_WORKER_SIMULATION                  allowed: classes may ask for simulated faults; or refused (default: refused)
  ORDER_WORKER_SIMULATE_BUG                step at which this worker's workflow code breaks; simulation allowed only
  STRIPE_API_KEY                           secret key; or STRIPE_API_KEY_FILE, a file that holds it
  STRIPE_API_KEY_FILE                      read anew for every request
  STRIPE_API_BASE                          <scheme>://<host> of a proxy
  SMTP_HOST                                server that takes mail
  SMTP_PORT                                (default: 587; with tls 465, with none 25)
  SMTP_SECURITY                            starttls, tls or none (default: starttls)
  SMTP_USERNAME                            empty: no authentication
  SMTP_PASSWORD                            or SMTP_PASSWORD_FILE, a file that holds it
  SMTP_PASSWORD_FILE                       read anew for every mail
  SMTP_FROM                                address of the sender
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_..., TEMPORAL_PROFILE
                                           as for Temporal's own tools
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker until SIGTERM or SIGINT, or one of the commands; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    logs.configure(whose)
    sdk_logs.configure()
    try:
        settings = Settings.from_environment(os.environ)
        if parsed.command == "migrate":
            return _migrate(settings)
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
    except (SettingsError, SchemaMismatch) as refusal:
        sys.stderr.write(f"order-worker: {refusal}\n")
        return REFUSED
    except LedgerUnavailable as error:
        sys.stderr.write(f"order-worker: {error}: {error.__cause__}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="order-worker",
        description="Carries orders, or their shipments, through their workflows.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("migrate", help="bring the ledger's database to this release's schema, and exit")
    ensure = commands.add_parser(
        "ensure-stock", help="add articles that the ledger does not have yet, leave the others alone, and exit"
    )
    ensure.add_argument("pieces", nargs="+", type=_pieces, metavar="SKU=PIECES")
    audit_commands.add_to(commands)
    assign = commands.add_parser(
        "assign-cluster",
        help="let the orders that an earlier release received belong to one installation, and exit: until then each of "
        "them holds its order number for all installations; may run while workers do, and may be repeated",
    )
    assign.add_argument("cluster", type=_cluster, help="the operator's Helm value `cluster`, or the uid of kube-system")
    assign.add_argument("--namespace", help="only the orders of this namespace (default: all)")
    prune = commands.add_parser(
        "prune-attempts",
        help="delete from the log of attempts those of orders that made none for so many days, and exit; may run while "
        "workers do, and may be repeated",
    )
    prune.add_argument("--older-than-days", required=True, type=_days, metavar="N", help="1 to 36500")
    return parser


def _pieces(argument: str) -> tuple[str, int]:
    sku, _, pieces = argument.partition("=")
    if not sku or not pieces.isdecimal():
        raise argparse.ArgumentTypeError(f"must be <sku>=<whole number>, not {argument!r}")
    return sku, int(pieces)


def _cluster(argument: str) -> str:
    if argument in installations.UNKNOWN or len(argument) > 63:
        raise argparse.ArgumentTypeError(f"must name one installation in at most 63 characters, not {argument!r}")
    return argument


def _days(argument: str) -> int:
    if not argument.isdecimal() or not 1 <= int(argument) <= 36_500:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 36500, not {argument!r}")
    return int(argument)


def _migrate(settings: Settings) -> int:
    engine = connect(settings.ledger_url)
    try:
        revision = schema.migrate(engine, lambda line: sys.stderr.write(f"{line}\n"))
    finally:
        engine.dispose()
    sys.stdout.write(f"the ledger's schema is at {revision}\n")
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
            "the audit chain has no key: whoever can write the ledger can forge it; set ORDER_LEDGER_AUDIT_KEY_FILE"
        )
    ledger = await Ledger.open(settings.ledger_url, audit_keys)
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


async def _work(settings: Settings, ledger: Ledger, providers: bootstrap.Providers, stop: asyncio.Event) -> None:
    worker: Worker | None = None

    async def problem() -> str | None:
        if worker is None or not worker.is_running:
            return "not polling Temporal"
        try:
            await ledger.ping()
        except TransientError as error:
            return str(error)
        return None

    health = settings.health_address and await Health(problem).serve(settings.health_address)
    stopping = asyncio.create_task(stop.wait())
    try:
        address = settings.metrics_address and str(settings.metrics_address)
        connecting = asyncio.create_task(bootstrap.connect(metrics.runtime(address)))
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            connecting.cancel()
            return
        worker = bootstrap.build_worker(connecting.result(), settings, ledger, providers)
        running = asyncio.create_task(worker.run())
        LOG.info("polling task queue %s as %s", settings.task_queue, ", ".join(sorted(settings.roles)))
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            LOG.info("stopping, activities may go on for %s", settings.graceful_shutdown)
            await shutdown.stop(worker, running, settings.graceful_shutdown)
        else:
            await running
    finally:
        stopping.cancel()
        if health:
            health.close()


if __name__ == "__main__":
    sys.exit(main())
