"""The composition root: what a worker is made of."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple, Self

from temporalio.client import Client
from temporalio.common import VersioningBehavior
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime
from temporalio.worker import (
    FixedSizeSlotSupplier,
    PollerBehaviorAutoscaling,
    PollerBehaviorSimpleMaximum,
    Worker,
    WorkerDeploymentConfig,
    WorkerDeploymentVersion,
    WorkerTuner,
)

from order_codec.converter import compression_of
from order_process.temporal_access import Access
from order_worker.activities.fraud import LedgerFraudChecks
from order_worker.activities.notification import LedgerNotifications
from order_worker.activities.order import LedgerOrders
from order_worker.activities.payment import LedgerPayments
from order_worker.activities.shipping import LedgerShipping
from order_worker.activities.shop_data import ShopData
from order_worker.activities.stock import LedgerStock
from order_worker.activities.stock_item import LedgerStockItems
from order_worker.activities.warehouse import LedgerWarehouse
from order_worker.interceptors.attempt_log import AttemptLog
from order_worker.interceptors.error_translation import Translation
from order_worker.interceptors.simulated_faults import FaultSimulation
from order_worker.interceptors.stock_news import StockNews
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_worker.money_watch import MoneyWatch
from order_worker.nexus_shipping import ShippingService
from order_worker.process_metrics import ProcessMetrics
from order_worker.providers import registry
from order_worker.providers.fraud.port import FraudCheck
from order_worker.providers.notification.port import Mailer
from order_worker.providers.payment.port import PaymentProvider
from order_worker.providers.registry import Opening, choose
from order_worker.providers.shipping.port import Carrier
from order_worker.providers.shop_data.port import ShopSystem
from order_worker.providers.store import ProviderStore
from order_worker.providers.supplier.port import Supplier
from order_worker.providers.warehouse.port import Warehouse
from order_worker.sandbox import production_runner
from order_worker.settings import SIMULATED, Role, Settings
from order_worker.usage_watch import UsageWatch
from order_worker.workflow_slots import REQUESTS_FOR_NEW_ORDERS, WorkflowSlots
from order_workflows.order_workflow import OrderWorkflow
from order_workflows.pinned import PinnedOrderWorkflow, PinnedShipmentWorkflow
from order_workflows.shipment_workflow import ShipmentWorkflow
from order_workflows.stock_item_workflow import StockItemWorkflow

LOG = logging.getLogger(__name__)

ALWAYS_SIMULATED = frozenset({"fraud", "shop", "warehouse", "carrier", "supplier"})
"""Ports that have no other provider yet."""

USED_BY_SHIPMENTS = frozenset({"warehouse", "carrier"})
"""Ports of a worker without the role `orders`."""

NEXUS_OPERATIONS = 100
"""Starts of shipments at a time; each takes one transaction. The SDK's own number."""

REQUESTS_OF_SLOTS = 3
"""One slot for workflow tasks in three is for a request that waits at Temporal for a task; the rest are for tasks that
are carried out. A request holds a slot while it waits: with as many requests as slots, one task in a long local
activity kept every other order from beginning for as much as a minute."""


@dataclass(frozen=True)
class Providers:
    """The companies that the worker deals with."""

    payments: PaymentProvider
    fraud: FraudCheck
    shop: ShopSystem
    warehouse: Warehouse
    carrier: Carrier
    mailer: Mailer
    supplier: Supplier
    store: ProviderStore | None
    """Of those that are simulated and remember what they did."""
    simulated: frozenset[str]
    """Names of the ports with a simulated provider."""
    resources: AsyncExitStack

    @classmethod
    async def open(cls, settings: Settings, environment: Mapping[str, str]) -> Self:
        """By their names in the settings; each reads its own variables from `environment`. Raises SettingsError."""
        payments = choose(registry.PAYMENT, "ORDER_WORKER_PAYMENT_PROVIDER", settings.payment_provider)
        mailer = choose(registry.MAIL, "ORDER_WORKER_MAIL_PROVIDER", settings.mail_provider)
        async with AsyncExitStack() as resources:
            opening = Opening(
                environment, settings.provider_store or settings.ledger_url, resources, settings.ledger_url_now
            )
            return cls(
                payments=await payments(opening),
                fraud=await registry.FRAUD[SIMULATED](opening),
                shop=await registry.SHOP[SIMULATED](opening),
                warehouse=await registry.WAREHOUSE[SIMULATED](opening),
                carrier=await registry.CARRIER[SIMULATED](opening),
                mailer=await mailer(opening),
                supplier=await registry.SUPPLIER[SIMULATED](opening),
                store=opening.store,
                simulated=ALWAYS_SIMULATED
                | {
                    port
                    for port, name in (("payment", settings.payment_provider), ("mail", settings.mail_provider))
                    if name == SIMULATED
                },
                resources=resources.pop_all(),
            )

    async def close(self) -> None:
        """After the last activity."""
        await self.resources.aclose()


@asynccontextmanager
async def payment_provider(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[PaymentProvider]:
    """That one alone. Raises SettingsError."""
    chosen = choose(registry.PAYMENT, "ORDER_WORKER_PAYMENT_PROVIDER", settings.payment_provider)
    async with AsyncExitStack() as resources:
        yield await chosen(
            Opening(environment, settings.provider_store or settings.ledger_url, resources, settings.ledger_url_now)
        )


async def connect(access: Access, runtime: Runtime, converter: DataConverter) -> Client:
    """A client that has reached Temporal. Raises RuntimeError."""
    return await Client.connect(
        **access.connect_arguments(),
        data_converter=converter,
        grpc_compression=compression_of(converter),
        runtime=runtime,
    )


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
    order_workflow = PinnedOrderWorkflow if settings.versioned else OrderWorkflow
    shipment_workflow = PinnedShipmentWorkflow if settings.versioned else ShipmentWorkflow
    if Role.ORDERS not in settings.roles:
        return Duties([shipment_workflow], shipment, [ShippingService()])
    orders = LedgerOrders(ledger)
    stock = LedgerStock(ledger, metrics, providers.payments.refuse_amount)
    shop_data = ShopData(providers.shop)
    fraud = LedgerFraudChecks(ledger, providers.fraud)
    payments = LedgerPayments(ledger, providers.payments, metrics)
    stock_items = LedgerStockItems(ledger, providers.supplier, metrics)
    notifications = LedgerNotifications(ledger, providers.mailer, metrics)
    activities: list[Callable[..., Any]] = [
        orders.receive,
        orders.change_lines,
        orders.update_status,
        orders.halt,
        orders.sell_lines,
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
        stock_items.keep,
        stock_items.order,
        stock_items.receive,
        stock_items.wake,
        stock_items.let_go,
    ]
    if Role.SHIPPING not in settings.roles:
        return Duties([order_workflow, StockItemWorkflow], activities, [])
    return Duties([order_workflow, shipment_workflow, StockItemWorkflow], activities, [ShippingService()])


def deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """The worker's version, if it tells one. What is not pinned to its version goes on with the next one."""
    if settings.deployment_name is None or settings.deployment_build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment_name, settings.deployment_build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


def build_worker(client: Client, settings: Settings, ledger: Ledger, providers: Providers) -> Worker:
    """A worker for the one task queue; not started yet."""
    meter = (client.service_client.config.runtime or Runtime.default()).metric_meter
    metrics = Metrics(meter)
    tell_what_runs(settings, metrics)
    known = duties(settings, ledger, providers, metrics)
    tell_what_is_simulated(settings, providers, metrics)
    slots = WorkflowSlots(settings.max_concurrent_workflow_tasks, ledger)
    requests = max(2, settings.max_concurrent_workflow_tasks // REQUESTS_OF_SLOTS)
    worker = Worker(
        client,
        task_queue=settings.task_queue,
        workflows=known.workflows,
        activities=known.activities,
        nexus_service_handlers=known.nexus_services,
        interceptors=[Translation()],
        plugins=[
            StockNews(ledger, lambda: worker.client).plugin(),
            AttemptLog(ledger, metrics, client.identity).plugin(),
            *([MoneyWatch(ledger, metrics).plugin()] if Role.ORDERS in settings.roles else []),
            UsageWatch(ledger, settings.task_queue, slots, metrics, ProcessMetrics(meter)).plugin(),
            FaultSimulation(allowed=settings.simulation, bug=settings.simulate_bug).plugin(),
        ],
        workflow_runner=production_runner(),
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(requests),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        nexus_task_poller_behavior=PollerBehaviorAutoscaling(),
        nonsticky_to_sticky_poll_ratio=min(REQUESTS_FOR_NEW_ORDERS, requests // 2) / requests,
        tuner=WorkerTuner.create_composite(
            workflow_supplier=slots,
            activity_supplier=FixedSizeSlotSupplier(settings.max_concurrent_activities),
            local_activity_supplier=FixedSizeSlotSupplier(settings.max_concurrent_activities),
            nexus_supplier=FixedSizeSlotSupplier(NEXUS_OPERATIONS),
        ),
        graceful_shutdown_timeout=settings.graceful_shutdown,
        deployment_config=deployment(settings),
    )
    return worker


def tell_what_runs(settings: Settings, metrics: Metrics) -> None:
    """As a metric; and counters begin at 0 before anything can be counted."""
    release = version("order-platform")
    metrics.build_info(release, settings.deployment_build_id or release, version("temporalio"), settings.task_queue)
    if Role.ORDERS in settings.roles:
        metrics.create_at_zero()


def tell_what_is_simulated(settings: Settings, providers: Providers, metrics: Metrics) -> None:
    """In the log and as a metric, of the ports that this worker uses."""
    used = providers.simulated if Role.ORDERS in settings.roles else providers.simulated & USED_BY_SHIPMENTS
    LOG.warning("simulated providers, which touch nothing outside: %s", ", ".join(sorted(used)))
    for port in used:
        metrics.simulated_provider(port)
