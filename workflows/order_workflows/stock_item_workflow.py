"""One stock item, as long as its resource exists: keeps the ledger's stock of an article between minimum and target."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from order_domain.errors import BooksDisagree
from order_domain.judgement import flaws
from order_domain.snapshot import ErrorRecord, shortened
from order_domain.stock_item import StockSettings, StockSnapshot, SupplierOrderRecord
from order_workflows import contract, local_activities, timing
from order_workflows.activities.stock_item import Article, KeepStock, StockItemActivities, StockLevel, SupplierOrder
from order_workflows.activity_failures import reason_of
from order_workflows.contract import StockItemInput
from order_workflows.patches import FOLLOWS_RESTORES, TELLS_RELEASE
from order_workflows.publishing import Publisher
from order_workflows.signals import log_dropped, signal


class Restock:
    """How far one order at the supplier is. All of it can be forgotten: the supplier is then only asked sooner."""

    def __init__(self, order: SupplierOrderRecord, *, in_doubt: bool = False) -> None:
        """One `in_doubt` is only asked for, never placed."""
        self.id = order.id
        self.in_doubt = in_doubt
        self.due = False
        """Whether it is time to ask the supplier. A timer decides, not the clock: other waits in a later release do not
        break the replay of a run."""
        self.last_error: ErrorRecord | None = None
        self._placed = order.placed_at is not None or in_doubt
        self._failures = 0
        self._checks = 0
        self._timer: asyncio.Task[None] | None = None
        self._wait(_from_now(order.expected_at))

    async def ask(self) -> None:
        """Place the order, or ask for the delivery of one that is placed. A failure is kept, not raised."""
        self.due = False
        ask = StockItemActivities.receive if self._placed else StockItemActivities.order
        try:
            answer = await workflow.execute_activity_method(ask, SupplierOrder(id=self.id), **timing.SUPPLIER)
        except FailureError as failure:
            self._failures += 1
            self.last_error = reason_of(failure)
            self._wait(timing.ask_supplier_again(self._failures))
            return
        self._failures, self.last_error = 0, None
        wait = _from_now(answer.expected_at)
        if self._placed:
            # Even after a delivery: should the ledger still show the order, it is not asked for without a pause.
            self._checks += 1
            wait = max(wait, timing.check_delivery_again(self._checks))
        self._placed = True
        self._wait(wait)

    def forget(self) -> None:
        """The ledger has the order no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, wait: timedelta) -> None:
        if wait > timedelta(0):
            self._timer = asyncio.create_task(self._come_due(wait))
        else:
            self.due = True

    async def _come_due(self, wait: timedelta) -> None:
        await workflow.sleep(wait, summary="supplier's next time")
        self.due = True


def _from_now(expected_at: datetime | None) -> timedelta:
    return timedelta(0) if expected_at is None else expected_at - workflow.now()


@workflow.defn(name=contract.STOCK_ITEM_WORKFLOW_TYPE)
class StockItemWorkflow:
    """Keeps one article. Its id is `contract.stock_workflow_id`; it shows itself in the memo `stock` and in the search
    attributes by which orders are seen, too.

    Whatever happens leads to a look at the ledger, which tells all there is to do. Cancelling it (the resource was
    deleted) releases the article: it ends as completed once nothing is on order any more.
    """

    @workflow.init
    def __init__(self, item: StockItemInput) -> None:
        self._item = item
        self._settings = item.settings
        self._set_back = 0
        """How often settings came that were to replace those in force, though their generation is lower."""
        self._news = False
        self._looked_at = workflow.now()
        self._looked_with: tuple[StockSettings, bool] | None = None
        self._restock: Restock | None = None
        self._on_order = item.on_order
        """The open order at the supplier, until the ledger says that it is delivered. A ledger that was restored may
        not have it."""
        self._publisher: Publisher[StockSnapshot] = Publisher(
            lambda: item.item.cluster,
            lambda snapshot, _: {contract.MEMO_STOCK_SNAPSHOT: snapshot},
            lambda *_: [],
            seq=item.seq,
        )

    @workflow.run
    async def run(self, item: StockItemInput) -> None:
        """Returns when the article is released. Does not fail for anything that the supplier does."""
        keeping = asyncio.create_task(self._keep())
        while not keeping.done():
            try:
                await asyncio.shield(keeping)
            except asyncio.CancelledError:
                if keeping.cancelled():
                    raise
        nothing_left = keeping.result()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if nothing_left:
            return
        workflow.continue_as_new(
            item.model_copy(
                update={
                    "settings": self._settings,
                    "seq": self._publisher.seq,
                    "released": self._released,
                    "on_order": self._on_order,
                }
            )
        )

    @signal(name=contract.SIGNAL_STOCK_CHANGED)
    def stock_changed(self) -> None:
        """Somebody took or brought pieces, or waits for some."""
        self._news = True

    @signal(name=contract.SIGNAL_CONFIGURE)
    def configure(self, settings: StockSettings) -> None:
        """Keep the stock by other settings; older ones than those in force are ignored, unless they say that they are
        to replace just those."""
        if found := flaws(settings, under=""):
            self.dropped(contract.SIGNAL_CONFIGURE, shortened("; ".join(found)))
        elif settings.generation > self._settings.generation or self._replaces(settings):
            self._settings = settings

    def _replaces(self, settings: StockSettings) -> bool:
        """An older worker ignored such settings, and they stay in the history: the first that are followed may come
        after some that were not, so that each has a patch of its own."""
        if settings.instead_of != self._settings.generation:
            return False
        self._set_back += 1
        return workflow.patched(f"{FOLLOWS_RESTORES}/{self._set_back}")

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, _arguments: Sequence[RawValue]) -> None:
        """No signal of a stock item: the SDK would keep it for a handler that never comes."""
        self.dropped(name, "unknown")

    def dropped(self, name: str, reason: str) -> None:
        """A signal is not followed."""
        log_dropped(name, reason)

    @property
    def _released(self) -> bool:
        return self._item.released or workflow.cancellation_reason() is not None

    @property
    def _is_followed(self) -> bool:
        """Whether a workflow that keeps this article in this one's place has been started: one of the present form of
        ids, where this is of the former."""
        return workflow.info().workflow_id == contract.former_stock_workflow_id(self._item.sku)

    async def _keep(self) -> bool:
        """Until the article is released with nothing on order, True, or the history has grown long, False."""
        while True:
            released = self._released
            level = await self._look(released)
            if level.kept_by is not None and (released or self._is_followed):
                return True
            self._publish(level)
            if level.backorders and level.on_hand > 0:
                await self._wake_backorders()
            if released and level.supplier_order is None:
                return True
            if workflow.info().is_continue_as_new_suggested():
                return False
            if self._restock is not None and self._restock.due:
                await self._restock.ask()
            else:
                await self._until_next_look()

    async def _look(self, released: bool) -> StockLevel:
        """What the ledger says. News that comes in meanwhile is for the next look."""
        self._news = False
        self._looked_at = workflow.now()
        self._looked_with = (self._settings, released)
        level = await (self._let_go() if released else self._keep_stock())
        order = level.supplier_order
        if level.kept_by is None and not level.unlisted:
            self._on_order = order
        # Once the article is released, somebody has decided: what the ledger has is ordered.
        in_doubt = level.unlisted and not released and order is not None and order.placed_at is None
        current = self._restock
        if current is not None and (order is None or (current.id, current.in_doubt) != (order.id, in_doubt)):
            current.forget()
            self._restock = None
        if self._restock is None and order is not None:
            self._restock = Restock(order, in_doubt=in_doubt)
        return level

    async def _keep_stock(self) -> StockLevel:
        request = KeepStock(
            sku=self._item.sku,
            initial_on_hand=self._item.initial_on_hand,
            minimum=self._settings.minimum,
            target=self._settings.target,
            keeper=workflow.info().workflow_id,
            follows=self._item.follows,
            on_order=self._on_order,
        )
        return await local_activities.until_done(StockItemActivities.keep, request, failed=self._show_ledger_away)

    async def _let_go(self) -> StockLevel:
        request = Article(sku=self._item.sku, keeper=workflow.info().workflow_id, on_order=self._on_order)
        return await local_activities.until_done(StockItemActivities.let_go, request, failed=self._show_ledger_away)

    async def _wake_backorders(self) -> None:
        try:
            await workflow.execute_activity_method(StockItemActivities.wake, Article(sku=self._item.sku), **timing.WAKE)
        except FailureError as failure:
            workflow.logger.warning("waiting orders not told of pieces", extra={"cause": reason_of(failure).type})

    async def _until_next_look(self) -> None:
        """Until there is news, with a pause after the last look, or something that does not wait; at the latest after
        `timing.LOOK_AT_STOCK`."""
        await _until(lambda: self._news or self._at_once, timing.LOOK_AT_STOCK, "no news of the stock")
        pause = self._looked_at + timing.STOCK_NEWS_PAUSE - workflow.now()
        if pause > timedelta(0):
            await _until(lambda: self._at_once, pause, "pause between looks")

    @property
    def _at_once(self) -> bool:
        """Whether the supplier is to be asked, or other settings or the end came in since the last look."""
        due = self._restock is not None and self._restock.due
        return due or self._looked_with != (self._settings, self._released)

    @property
    def _disagreement(self) -> ErrorRecord | None:
        """What a person has to decide: which of two orders at the supplier is the open one."""
        known, listed = self._on_order, self._restock
        if known is None or listed is None or not listed.in_doubt:
            return None
        message = (
            f"supplier order {known.id} of {known.quantity} units is open, but the ledger does not have it and plans "
            f"{listed.id}, which is not placed: it may be delivered already. Delete the StockItem and apply it again "
            "to place it"
        )
        return ErrorRecord(type=BooksDisagree.__name__, message=message)

    def _show_ledger_away(self, attempts: int, error: ErrorRecord, pause: timedelta) -> None:
        """The last counts stay; beside them stands what fails. Before the first look there is nothing to show."""
        if self._publisher.last is not None:
            message = f"attempt {attempts}: {error.message}; next attempt in {pause.total_seconds():.0f} s"
            shown = error.model_copy(update={"message": message})
            self._publisher.publish(self._publisher.last.model_copy(update={"last_error": shown}))

    def _publish(self, level: StockLevel) -> None:
        """Make the present state visible; nothing changed, nothing written."""
        assert self._looked_with is not None
        settings, released = self._looked_with
        snapshot = StockSnapshot(
            generation=settings.generation,
            on_hand=level.on_hand,
            reserved=level.reserved,
            sold=level.sold,
            supplier_order=level.supplier_order,
            kept_by=level.kept_by,
            last_error=self._disagreement or (self._restock.last_error if self._restock else None),
            released=released and workflow.patched(TELLS_RELEASE),
        )
        self._publisher.publish(snapshot)


async def _until(holds: Callable[[], bool], timeout: timedelta, summary: str) -> None:
    with suppress(TimeoutError):
        await workflow.wait_condition(holds, timeout=timeout, timeout_summary=summary)
