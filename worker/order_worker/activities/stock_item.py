"""Keeping an article in stock."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from temporalio import activity
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.service import RPCError, RPCStatusCode

from order_domain.errors import OrderError
from order_worker.interceptors.stock_news import OF_THIS_WORKFLOW
from order_worker.ledger import supply
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_worker.providers.supplier.port import Supplier
from order_workflows.activities.effect import Outcome
from order_workflows.activities.stock_item import (
    Article,
    KeepStock,
    StockItemActivities,
    StockLevel,
    SupplierOrder,
    Supplies,
)
from order_workflows.contract import SIGNAL_STOCK_ARRIVED, RunKey, parse_stock_workflow_id, workflow_id


class LedgerStockItems(StockItemActivities):
    """The supplier behind the ledger: what is planned there is ordered, and what came in is added there."""

    def __init__(self, ledger: Ledger, supplier: Supplier, metrics: Metrics) -> None:
        self._ledger = ledger
        self._supplier = supplier
        self._metrics = metrics

    @activity.defn(name="keep_stock")
    async def keep(self, request: KeepStock) -> StockLevel:
        return await self._ledger.transaction(partial(supply.keep, request=request))

    @activity.defn(name="order_supplies")
    async def order(self, request: SupplierOrder) -> Supplies:
        """The plan in the ledger is the intent: whoever died after the call calls again under the same
        key, and gets the first answer."""
        order = await self._ledger.transaction(partial(supply.open_order, supplier_order=request.id))
        if order.state is supply.State.PLANNED:
            try:
                confirmed = await self._supplier.order(order.id, sku=order.sku, quantity=order.quantity)
            except OrderError:
                self._metrics.supplier_order("error")
                raise
            order = await self._ledger.transaction(
                partial(
                    supply.placed,
                    supplier_order=request.id,
                    reference=confirmed.reference,
                    expected_at=confirmed.expected_at,
                )
            )
            self._metrics.supplier_order("placed")
        return _supplies(order)

    @activity.defn(name="receive_supplies")
    async def receive(self, request: SupplierOrder) -> Supplies:
        order = await self._ledger.transaction(partial(supply.open_order, supplier_order=request.id))
        if order.state is supply.State.DELIVERED:
            return _supplies(order)
        try:
            delivered = await self._supplier.delivered(request.id)
        except OrderError:
            self._metrics.supplier_order("error")
            raise
        if not delivered:
            return _supplies(order)
        if await self._ledger.transaction(partial(supply.deliver, supplier_order=request.id)):
            self._metrics.supplier_order("delivered")
        return Supplies(delivered=True)

    @activity.defn(name="wake_backorders")
    async def wake(self, request: Article) -> Outcome:
        """An order that is told in vain, or twice, asks the ledger again and waits on. One that takes no more signals
        keeps it from no other, and neither does one without an open workflow: it waits for nothing any more, and what
        it lacked must not be kept for it."""
        told: set[RunKey] = set()
        while True:
            asked_at = datetime.now(UTC)
            waiting = await self._ledger.transaction(partial(supply.waiting, sku=request.sku))
            gone = [key.uid for key in waiting if key not in told and not await _tell(key)]
            told.update(waiting)
            if not gone or not await self._overlook(gone, asked_at):
                return Outcome()

    async def _overlook(self, uids: Sequence[str], asked_at: datetime) -> int:
        """Only for orders of the installation whose workflow asks: those of others may be open where this worker does
        not look."""
        keeper = parse_stock_workflow_id(activity.info().workflow_id or "")
        if keeper is None or keeper.cluster is None:
            return 0
        return await self._ledger.transaction(
            partial(supply.overlook, uids=uids, installation=keeper.cluster, asked_at=asked_at)
        )

    @activity.defn(name="release_article")
    async def let_go(self, request: Article) -> StockLevel:
        return await self._ledger.transaction(
            partial(supply.let_go, sku=request.sku, keeper=request.keeper, on_order=request.on_order)
        )


async def _tell(key: RunKey) -> bool:
    """False if the order has no open workflow."""
    try:
        await activity.client().get_workflow_handle(workflow_id(*key)).signal(SIGNAL_STOCK_ARRIVED)
    except RPCError as error:
        if error.status not in OF_THIS_WORKFLOW:
            raise
        without_namespace = any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)
        return error.status is not RPCStatusCode.NOT_FOUND or without_namespace
    return True


def _supplies(order: supply.SupplierOrderRow) -> Supplies:
    if order.state is supply.State.DELIVERED:
        return Supplies(delivered=True)
    return Supplies(delivered=False, expected_at=order.expected_at)
