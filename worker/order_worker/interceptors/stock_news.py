"""News for the workflows that keep articles in stock: orders moved pieces, look at the ledger.

It is gathered, so that an article which a hundred orders a second move is looked at once a second. It may be lost, with
a worker or while Temporal does not answer: those workflows also look without being told, only later.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, func, literal, select
from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from order_domain.errors import LedgerUnavailable
from order_worker.ledger.database import Ledger
from order_worker.ledger.tables import reservations, stock
from order_workflows.activities.order import ChangeLines
from order_workflows.activities.stock import CommitStock, ReleaseStock, ReserveStock
from order_workflows.contract import SIGNAL_STOCK_CHANGED, former_stock_workflow_id

LOG = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Between two rounds of news."""

KEPT = 10_000
"""Reservations that one round asks about; news of more is dropped."""

ROUND_SECONDS = 3.0
"""Longest round; what is not told by then is lost. Short, since a worker that stops waits for its last round."""

OF_THIS_WORKFLOW = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT})
"""Answers to a signal that say nothing of other workflows: it is not there, or has had as many as Temporal takes
(`history.maximumSignalsPerExecution`), as one has whose workflow task fails while its article is in demand."""

_KEEPER = func.coalesce(stock.c.keeper, literal(former_stock_workflow_id("")).op("||")(stock.c.sku))
"""Id of the workflow that keeps an article; a release before the column had one for each."""
_MOVED = (
    select(_KEEPER)
    .distinct()
    .join(reservations, reservations.c.sku == stock.c.sku)
    .where(reservations.c.operation_id.in_(bindparam("reservations", expanding=True)), stock.c.minimum.is_not(None))
)
_KEPT = select(_KEEPER).where(stock.c.sku.in_(bindparam("skus", expanding=True)), stock.c.minimum.is_not(None))


class StockNews(Interceptor):
    """Sees every activity that moves pieces. News is told only inside of `telling`."""

    def __init__(self, ledger: Ledger, client: Callable[[], Client]) -> None:
        """`client` gives the one of the moment: it is replaced when the worker's certificate is."""
        self._ledger = ledger
        self._client = client
        self._reservations: set[str] = set()
        self._short: set[str] = set()
        """Articles for which an order that waits was refused: more of them may be on order now."""
        self._wake = asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Noting(next, self)

    def plugin(self) -> SimplePlugin:
        """What a worker needs: the interceptor, and the telling while the worker runs."""
        return SimplePlugin("stock-news", interceptors=[self], run_context=self.telling)

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell until the block ends, and then what is left."""
        stop = asyncio.Event()
        teller = asyncio.create_task(self._tell_until(stop))
        try:
            yield
        finally:
            stop.set()
            self._wake.set()
            await teller

    def add(self, arguments: Sequence[Any]) -> None:
        """Note an activity that has ended, however it did: what got no answer may have happened. Never waits."""
        for argument in arguments:
            if isinstance(argument, ReserveStock) and argument.backorder and len(self._short) < KEPT:
                self._short |= {line.sku for line in argument.lines}
        moved = {reservation for argument in arguments for reservation in _moved_by(argument)}
        if moved and len(self._reservations) < KEPT:
            self._reservations |= moved
            self._wake.set()

    async def _tell_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._wake.wait()
            self._wake.clear()
            await self._tell()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PAUSE_SECONDS)
        await self._tell()

    async def _tell(self) -> None:
        moved, self._reservations = self._reservations, set()
        short, self._short = self._short, set()
        if not moved:
            return
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                for keeper in await self._ledger.transaction(partial(_keepers, moved=moved, short=short)):
                    await self._signal(keeper)
        except (LedgerUnavailable, RPCError, TimeoutError) as error:
            LOG.warning("news of stock is lost: %s", str(error) or "no answer in time")

    async def _signal(self, keeper: str) -> None:
        handle = self._client().get_workflow_handle(keeper)
        try:
            await handle.signal(SIGNAL_STOCK_CHANGED)
        except RPCError as error:
            if error.status not in OF_THIS_WORKFLOW:
                raise


def _moved_by(request: object) -> Iterable[str]:
    """The reservations whose pieces moved."""
    match request:
        case ReserveStock():
            return [request.operation_id]
        case ChangeLines(replaces=str(replaced)):
            return [request.operation_id, replaced]
        case ReleaseStock(reserve_operation_id=moved) | CommitStock(reserve_operation_id=str(moved)):
            return [moved]
    return []


def _keepers(tx: Connection, moved: Iterable[str], short: Iterable[str]) -> Sequence[str]:
    """The workflows that keep the articles of these reservations, and those that were refused."""
    kept = set(tx.scalars(_MOVED, {"reservations": sorted(moved)}))
    return sorted(kept.union(tx.scalars(_KEPT, {"skus": sorted(short)})))


class _Noting(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, news: StockNews) -> None:
        super().__init__(inner)
        self._news = news

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        finally:
            self._news.add(input.args)
