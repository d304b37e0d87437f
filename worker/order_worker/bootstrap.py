"""The composition root: what a worker is made of."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from order_worker.activities.fraud import LedgerFraudChecks
from order_worker.activities.notification import LedgerNotifications
from order_worker.activities.order import LedgerOrders
from order_worker.activities.payment import LedgerPayments
from order_worker.activities.shipping import LedgerShipping
from order_worker.activities.stock import LedgerStock
from order_worker.activities.translation import Translation
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_worker.providers.fraud.port import FraudCheck
from order_worker.providers.fraud.simulated import SimulatedFraudCheck
from order_worker.providers.notification.port import Mailer
from order_worker.providers.notification.simulated import SimulatedMailer
from order_worker.providers.payment.port import PaymentProvider
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.shipping.port import Carrier
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_worker.providers.store import ProviderStore
from order_worker.sandbox import production_runner
from order_worker.settings import Settings, SettingsError
from order_workflows.order_workflow import OrderWorkflow

LOG = logging.getLogger(__name__)

RECONNECT_CAP_SECONDS = 10.0
"""Longest pause between two attempts to reach Temporal."""


@dataclass(frozen=True)
class Providers:
    """The companies that the worker deals with."""

    payments: PaymentProvider
    fraud: FraudCheck
    carrier: Carrier
    mailer: Mailer
    store: ProviderStore

    @classmethod
    async def simulated(cls, path: Path) -> Self:
        """All of them simulated, with what they did kept in the SQLite file `path`."""
        store = await ProviderStore.open(path)
        return cls(
            payments=SimulatedPayments(store),
            fraud=SimulatedFraudCheck(),
            carrier=SimulatedCarrier(store),
            mailer=SimulatedMailer(store),
            store=store,
        )

    async def close(self) -> None:
        """After the last activity."""
        await self.store.close()


async def connect(runtime: Runtime) -> Client:
    """A client from the SDK's own environment configuration; keeps trying until Temporal answers. Raises
    SettingsError if the configuration cannot be read."""
    try:
        config = ClientConfig.load_client_connect_config()
    except (RuntimeError, ValueError, OSError) as error:
        raise SettingsError(f"the TEMPORAL_… variables or their profile cannot be used: {error}") from error
    config.setdefault("target_host", "localhost:7233")
    pause = 0.5
    while True:
        try:
            return await Client.connect(**config, data_converter=pydantic_data_converter, runtime=runtime)
        except RuntimeError as error:
            LOG.warning("Temporal at %s does not answer, trying on: %s", config["target_host"], error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, RECONNECT_CAP_SECONDS)


def build_worker(client: Client, settings: Settings, ledger: Ledger, providers: Providers) -> Worker:
    """A worker for workflows and activities on the one task queue; not started yet."""
    metrics = Metrics((client.service_client.config.runtime or Runtime.default()).metric_meter)
    orders = LedgerOrders(ledger)
    stock = LedgerStock(ledger, metrics)
    fraud = LedgerFraudChecks(ledger, providers.fraud)
    payments = LedgerPayments(ledger, providers.payments, metrics)
    shipping = LedgerShipping(ledger, providers.carrier)
    notifications = LedgerNotifications(ledger, providers.mailer, metrics)
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=[OrderWorkflow],
        activities=[
            orders.receive,
            orders.close,
            stock.validate,
            stock.reserve,
            stock.release,
            stock.commit,
            fraud.check,
            payments.charge,
            payments.refund,
            shipping.ship,
            shipping.cancel,
            notifications.notify,
        ],
        interceptors=[Translation()],
        workflow_runner=production_runner(),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_concurrent_activities=settings.max_concurrent_activities,
        max_concurrent_local_activities=settings.max_concurrent_activities,
        graceful_shutdown_timeout=settings.graceful_shutdown,
    )
