"""One stock item's workflow on a real Temporal server, with a scripted ledger and supplier behind it."""

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from fake_activities import Fault, Hold
from storefront import DEADLINE_SECONDS, eventually
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from order_domain.errors import OrderError
from order_domain.stock_item import StockSettings, StockSnapshot, SupplierOrderRecord
from order_worker.interceptors.error_translation import Translation
from order_worker.sandbox import checking_runner
from order_workflows import contract
from order_workflows.activities.effect import Outcome
from order_workflows.activities.stock_item import (
    Article,
    KeepStock,
    StockItemActivities,
    StockLevel,
    SupplierOrder,
    Supplies,
)
from order_workflows.contract import ResourceIdentity, StockItemInput
from order_workflows.stock_item_workflow import StockItemWorkflow

UID = "0b7c1f5e-93a4-4c6e-8d8d-3b5d6a1f9e22"


class StockRoom(StockItemActivities):
    """The ledger's stock of one article, and its supplier, in memory. An activity is named as Temporal knows it."""

    def __init__(self, on_hand: int) -> None:
        self.calls: list[str] = []
        """Every attempt of every activity."""
        self.sku: str | None = None
        """Of the article, once it is kept."""
        self.on_hand = on_hand
        self.sold = 0
        self.rules: tuple[int, int] | None = None
        """Minimum and target in force."""
        self.keeper: str | None = None
        """Id of the workflow whose rules these are."""
        self.on_order: SupplierOrderRecord | None = None
        self.unlisted = False
        """Whether the ledger says that it lists another supplier order than the workflow knows."""
        self.named: SupplierOrderRecord | None = None
        """The supplier order that the workflow named last."""
        self.placed: dict[str, int] = {}
        """Pieces by order, as the supplier knows them."""
        self.delivered: set[str] = set()
        """Orders whose pieces the ledger has counted."""
        self.delivers = True
        """Whether the pieces have come when the supplier is asked for them."""
        self.delivery_time = timedelta(0)
        """Between the placing of an order and its expected delivery."""
        self.waiting: list[int] = []
        """Pieces that each backorder needs."""
        self.told: list[int] = []
        """The same of those that were woken."""
        self._numbers = itertools.count(1)
        self._faults: dict[str, Fault] = {}
        self._holds: dict[str, Hold] = {}

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """What a worker needs."""
        return [self.keep, self.order, self.receive, self.wake, self.let_go]

    def sell(self, pieces: int = 1) -> None:
        """To a customer."""
        self.on_hand -= pieces
        self.sold += pieces

    def fail(self, name: str, error: OrderError, *, times: int | None = None) -> None:
        """Calls of `name` raise `error`, the first `times` or all."""
        self._faults[name] = Fault(error, times)

    def repair(self, name: str) -> None:
        """Calls of `name` succeed again."""
        del self._faults[name]

    def hold(self, name: str) -> Hold:
        """Calls of `name` wait until released."""
        self._holds[name] = Hold()
        return self._holds[name]

    def count(self, name: str) -> int:
        """Attempts of `name`."""
        return self.calls.count(name)

    async def has_been_called(self, name: str, times: int) -> None:
        """Waits until it has."""

        async def enough() -> bool:
            return self.count(name) >= times

        await eventually(enough, lambda: f"{times} calls of {name}, only {self.count(name)}")

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        hold = self._holds.get(name)
        if hold is not None:
            hold.reached.set()
            await hold.released.wait()
        fault = self._faults.get(name)
        if fault is not None and fault.times != 0:
            if fault.times is not None:
                fault.times -= 1
            raise fault.error

    def _level(self) -> StockLevel:
        return StockLevel(
            on_hand=self.on_hand,
            reserved=0,
            sold=self.sold,
            supplier_order=self.on_order,
            backorders=bool(self.waiting),
            unlisted=self.unlisted,
        )

    @activity.defn(name="keep_stock")
    async def keep(self, request: KeepStock) -> StockLevel:
        self.sku = request.sku
        if self.keeper not in (None, request.keeper, request.follows):
            await self._called("keep_stock")
            return self._level().model_copy(update={"kept_by": self.keeper, "supplier_order": None})
        self.keeper, self.named = request.keeper, request.on_order
        # What is counted before a call is held up is old news when it answers.
        self.rules = (request.minimum, request.target)
        if self.on_hand < request.minimum and self.on_order is None:
            number = f"{request.sku}/{next(self._numbers)}"
            self.on_order = SupplierOrderRecord(id=number, quantity=request.target - self.on_hand)
        if self.on_order is None and request.on_order is not None and request.on_order.id not in self.delivered:
            self.on_order = request.on_order
        level = self._level()
        await self._called("keep_stock")
        return level

    @activity.defn(name="order_supplies")
    async def order(self, request: SupplierOrder) -> Supplies:
        await self._called("order_supplies")
        assert self.on_order is not None
        assert self.on_order.id == request.id
        self.placed.setdefault(request.id, self.on_order.quantity)
        now = datetime.now(UTC)
        expected_at = now + self.delivery_time
        self.on_order = self.on_order.model_copy(update={"placed_at": now, "expected_at": expected_at})
        return Supplies(delivered=False, expected_at=expected_at)

    @activity.defn(name="receive_supplies")
    async def receive(self, request: SupplierOrder) -> Supplies:
        await self._called("receive_supplies")
        if not self.delivers:
            return Supplies(delivered=False, expected_at=datetime.now(UTC))
        self.on_hand += self.placed[request.id]
        self.on_order = None
        self.delivered.add(request.id)
        return Supplies(delivered=True)

    @activity.defn(name="wake_backorders")
    async def wake(self, request: Article) -> Outcome:
        await self._called("wake_backorders")
        assert request.sku == self.sku
        while self.waiting and self.waiting[0] <= self.on_hand:
            pieces = self.waiting.pop(0)
            self.sell(pieces)
            self.told.append(pieces)
        return Outcome()

    @activity.defn(name="release_article")
    async def let_go(self, request: Article) -> StockLevel:
        self.named = request.on_order
        await self._called("release_article")
        assert request.sku == self.sku
        if self.keeper not in (None, request.keeper):
            return self._level().model_copy(update={"kept_by": self.keeper, "supplier_order": None})
        self.rules = self.keeper = None
        return self._level()


class KeptItem:
    """One stock item's workflow, over all its runs."""

    def __init__(self, client: Client, first: WorkflowHandle[Any, None]) -> None:
        self.client = client
        self.first = client.get_workflow_handle(first.id, run_id=first.first_execution_run_id)
        """Of the first run."""
        self.handle = client.get_workflow_handle_for(StockItemWorkflow.run, first.id)
        """Of the newest run."""

    @classmethod
    async def start(
        cls,
        client: Client,
        sku: str,
        *,
        minimum: int = 0,
        target: int = 10,
        generation: int = 1,
        identifier: str | None = None,
        **changes: object,
    ) -> "KeptItem":
        """On the task queue `sku`; `changes` replace further fields of its input."""
        item = StockItemInput(
            item=ResourceIdentity(cluster="test", namespace="shop", name="item", uid=UID),
            sku=sku,
            initial_on_hand=0,
            settings=StockSettings(minimum=minimum, target=target, generation=generation),
        ).model_copy(update=changes)
        handle = await client.start_workflow(
            StockItemWorkflow.run,
            item,
            id=identifier or contract.stock_workflow_id("test", sku),
            task_queue=sku,
            memo={contract.MEMO_UID: UID},
        )
        return cls(client, handle)

    async def continued(self) -> bool:
        """Whether the first run has handed on to another."""
        return (await self.first.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW

    async def changed(self) -> None:
        """Tell it to look."""
        await self.handle.signal(contract.SIGNAL_STOCK_CHANGED)

    async def configure(
        self, *, minimum: int = 0, target: int = 10, generation: int, instead_of: int | None = None
    ) -> None:
        """Give it other settings."""
        settings = StockSettings(minimum=minimum, target=target, generation=generation, instead_of=instead_of)
        await self.handle.signal(contract.SIGNAL_CONFIGURE, settings)

    async def ends(self) -> WorkflowExecutionDescription:
        """Waits until the last run is closed; raises WorkflowFailureError if it failed."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.handle.result()
        return await self.handle.describe()

    async def snapshot(self) -> StockSnapshot:
        """What the memo says now."""
        memo = await (await self.handle.describe()).memo()
        return StockSnapshot.model_validate(memo.get(contract.MEMO_STOCK_SNAPSHOT, {}))

    async def shows(self, holds: Callable[[StockSnapshot], bool]) -> StockSnapshot:
        """Waits until what it shows is as wanted."""
        shown = await self.snapshot()

        async def there() -> bool:
            nonlocal shown
            shown = await self.snapshot()
            return holds(shown)

        await eventually(there, lambda: f"shown; the last was {shown!r}")
        return shown

    async def published(self) -> list[StockSnapshot]:
        """Every snapshot that the newest run wrote."""
        snapshots = []
        async for event in self.handle.fetch_history_events():
            memo = event.workflow_properties_modified_event_attributes.upserted_memo.fields
            if contract.MEMO_STOCK_SNAPSHOT in memo:
                (value,) = await self.client.data_converter.decode([memo[contract.MEMO_STOCK_SNAPSHOT]])
                snapshots.append(StockSnapshot.model_validate(value))
        return snapshots


def a_stock_worker(client: Client, sku: str, room: StockRoom, *, max_cached_workflows: int = 1000) -> Worker:
    """On the task queue `sku`. The one module that escapes the sandbox are the waits, for tests to shorten."""
    runner = checking_runner()
    assert isinstance(runner, SandboxedWorkflowRunner)
    restrictions = runner.restrictions.with_passthrough_modules("order_workflows.timing")
    return Worker(
        client,
        task_queue=sku,
        workflows=[StockItemWorkflow],
        activities=room.activities,
        interceptors=[Translation()],
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
        max_cached_workflows=max_cached_workflows,
    )
