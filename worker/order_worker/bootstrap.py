"""The composition root: what a worker is made of."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from order_worker.activities.attempts import AttemptLog
from order_worker.activities.fraud import LedgerFraudChecks
from order_worker.activities.notification import LedgerNotifications
from order_worker.activities.order import LedgerOrders
from order_worker.activities.payment import LedgerPayments
from order_worker.activities.shipping import LedgerShipping
from order_worker.activities.shop_data import ShopData
from order_worker.activities.stock import LedgerStock
from order_worker.activities.translation import Translation
from order_worker.activities.warehouse import LedgerWarehouse
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_worker.nexus_shipping import ShippingService
from order_worker.providers.fraud.port import FraudCheck
from order_worker.providers.fraud.simulated import SimulatedFraudCheck
from order_worker.providers.notification.port import Mailer
from order_worker.providers.notification.simulated import SimulatedMailer
from order_worker.providers.payment.port import PaymentProvider
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.shipping.port import Carrier
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_worker.providers.shop_data.port import ShopSystem
from order_worker.providers.shop_data.simulated import SimulatedShopSystem
from order_worker.providers.store import ProviderStore
from order_worker.providers.warehouse.port import Warehouse
from order_worker.providers.warehouse.simulated import SimulatedWarehouse
from order_worker.sandbox import production_runner
from order_worker.settings import Role, Settings, SettingsError
from order_workflows.order_workflow import OrderWorkflow
from order_workflows.shipment_workflow import ShipmentWorkflow

LOG = logging.getLogger(__name__)

RECONNECT_CAP_SECONDS = 10.0
"""Longest pause between two attempts to reach Temporal."""


@dataclass(frozen=True)
class Providers:
    """The companies that the worker deals with."""

    payments: PaymentProvider
    fraud: FraudCheck
    shop: ShopSystem
    warehouse: Warehouse
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
            shop=SimulatedShopSystem(),
            warehouse=SimulatedWarehouse(store),
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


class Duties(NamedTuple):
    """What a worker has to know for its roles."""

    workflows: list[type]
    activities: list[Callable[..., Any]]
    nexus_services: list[object]


def duties(settings: Settings, ledger: Ledger, providers: Providers, metrics: Metrics) -> Duties:
    """By `settings.roles`."""
    warehouse = LedgerWarehouse(ledger, providers.warehouse)
    shipping = LedgerShipping(ledger, providers.carrier)
    shipment: list[Callable[..., Any]] = [warehouse.pack, warehouse.unpack, shipping.ship]
    if Role.ORDERS not in settings.roles:
        return Duties([ShipmentWorkflow], shipment, [ShippingService()])
    orders = LedgerOrders(ledger)
    stock = LedgerStock(ledger, metrics)
    shop_data = ShopData(providers.shop)
    fraud = LedgerFraudChecks(ledger, providers.fraud)
    payments = LedgerPayments(ledger, providers.payments, metrics)
    notifications = LedgerNotifications(ledger, providers.mailer, metrics)
    activities: list[Callable[..., Any]] = [
        orders.receive,
        orders.change_lines,
        orders.update_status,
        orders.close,
        shop_data.items,
        shop_data.profile,
        shop_data.recommendations,
        stock.validate,
        stock.available,
        stock.reserve,
        stock.release,
        stock.commit,
        fraud.check,
        payments.charge,
        payments.refund,
        *shipment,
        shipping.cancel,
        notifications.notify,
    ]
    if Role.SHIPPING not in settings.roles:
        return Duties([OrderWorkflow], activities, [])
    return Duties([OrderWorkflow, ShipmentWorkflow], activities, [ShippingService()])


def build_worker(client: Client, settings: Settings, ledger: Ledger, providers: Providers) -> Worker:
    """A worker for the one task queue; not started yet."""
    metrics = Metrics((client.service_client.config.runtime or Runtime.default()).metric_meter)
    known = duties(settings, ledger, providers, metrics)
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=known.workflows,
        activities=known.activities,
        nexus_service_handlers=known.nexus_services,
        interceptors=[Translation()],
        plugins=[AttemptLog(ledger, metrics, client.identity).plugin()],
        workflow_runner=production_runner(),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        nexus_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_concurrent_activities=settings.max_concurrent_activities,
        max_concurrent_local_activities=settings.max_concurrent_activities,
        graceful_shutdown_timeout=settings.graceful_shutdown,
    )
