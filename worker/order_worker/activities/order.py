"""The ledger's record of the order itself."""

from functools import partial

from temporalio import activity

from order_worker.ledger import halt, orders, partial_sale
from order_worker.ledger.database import Ledger
from order_workflows.activities.effect import Outcome
from order_workflows.activities.order import (
    ChangeLines,
    CloseOrder,
    Halted,
    HaltOrder,
    LinesChanged,
    LinesSold,
    OrderActivities,
    Received,
    ReceiveOrder,
    SellLines,
    UpdateStatus,
)


class LedgerOrders(OrderActivities):
    """Each is one transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @activity.defn(name="receive_order")
    async def receive(self, request: ReceiveOrder) -> Received:
        return await self._ledger.transaction(partial(orders.receive, request=request))

    @activity.defn(name="change_lines")
    async def change_lines(self, request: ChangeLines) -> LinesChanged:
        return await self._ledger.transaction(partial(orders.change_lines, request=request))

    @activity.defn(name="update_order_status")
    async def update_status(self, request: UpdateStatus) -> Outcome:
        return await self._ledger.transaction(partial(orders.update_status, request=request))

    @activity.defn(name="halt_order")
    async def halt(self, request: HaltOrder) -> Halted:
        return await self._ledger.transaction(partial(halt.halt, request=request))

    @activity.defn(name="sell_lines")
    async def sell_lines(self, request: SellLines) -> LinesSold:
        return await self._ledger.transaction(partial(partial_sale.sell_lines, request=request))

    @activity.defn(name="close_order")
    async def close(self, request: CloseOrder) -> Outcome:
        return await self._ledger.transaction(partial(orders.close, request=request))
