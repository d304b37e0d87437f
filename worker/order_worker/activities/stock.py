"""Stock in the ledger."""

from functools import partial

from temporalio import activity

from order_domain.errors import PermanentError
from order_worker.ledger import stock
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_workflows.activities.effect import Outcome
from order_workflows.activities.stock import (
    CheckAvailability,
    CommitStock,
    ReleaseStock,
    Reserved,
    ReserveStock,
    StockActivities,
    ValidateLines,
)


class LedgerStock(StockActivities):
    """Each is one transaction."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics

    @activity.defn(name="validate_lines")
    async def validate(self, request: ValidateLines) -> Outcome:
        return await self._ledger.transaction(partial(stock.validate, request=request))

    @activity.defn(name="check_availability")
    async def available(self, request: CheckAvailability) -> Outcome:
        return await self._ledger.transaction(partial(stock.available, request=request))

    @activity.defn(name="reserve_stock")
    async def reserve(self, request: ReserveStock) -> Reserved:
        try:
            reserved = await self._ledger.transaction(partial(stock.reserve, request=request))
        except PermanentError:
            self._metrics.reservation("refused")
            raise
        self._metrics.reservation("reserved")
        return reserved

    @activity.defn(name="release_stock")
    async def release(self, request: ReleaseStock) -> Outcome:
        outcome = await self._ledger.transaction(partial(stock.release, request=request))
        self._metrics.reservation("released")
        return outcome

    @activity.defn(name="commit_stock")
    async def commit(self, request: CommitStock) -> Outcome:
        outcome = await self._ledger.transaction(partial(stock.commit, request=request))
        self._metrics.reservation("committed")
        return outcome
