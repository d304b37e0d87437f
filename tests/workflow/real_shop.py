"""Orders on a real Temporal server and the worker that the product builds, with companies that fail on request."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from builders import a_policy
from fake_activities import World
from sqlalchemy import Table, select
from storefront import PlacedOrder, Storefront, eventually
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import Worker

from order_domain.errors import ProviderUnavailable
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec
from order_worker.bootstrap import Providers, build_worker
from order_worker.ledger import schema, stock, tables
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.settings import Settings
from order_workflows.order_workflow import OrderWorkflow

PIECES = 100_000
SHIPPING = ["Receive", "Validate", "ReserveStock", "ChargePayment", "Ship"]
QUICK = {"default": {"initial_seconds": 1, "max_attempts": 2, "max_interval_seconds": 1, "start_to_close_seconds": 5}}
NOTHING_REAPPLIED = (
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST,
)
OUTAGE = ProviderUnavailable("simulated outage")


def shipping_class(pipeline: Sequence[str] = SHIPPING, **changes: object) -> OrderClassSpec:
    """No approval, two quick attempts at each step."""
    fields: dict[str, object] = {"pipeline": list(pipeline), "approval": {"mode": "Never"}, "retry": QUICK}
    return a_policy(**{**fields, **changes})


class Company:
    """A provider whose methods fail on request. What is not mentioned works."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._gates: dict[str, asyncio.Event] = {}
        self._before: set[str] = set()
        self._after: set[str] = set()
        self.asked: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(real):
            return real

        async def call(*arguments: object, **named: object) -> object:
            self.asked[name] = self.asked.get(name, 0) + 1
            if name in self._gates:
                await self._gates[name].wait()
            if name in self._before:
                raise OUTAGE
            answer = await real(*arguments, **named)
            if name in self._after:
                raise ProviderUnavailable("the answer was lost")
            return answer

        return call

    def is_down_for(self, *names: str) -> None:
        """Nothing is done."""
        self._before.update(names)

    def loses_answers_of(self, *names: str) -> None:
        """It is done, but nobody is told."""
        self._after.update(names)

    def holds(self, name: str) -> asyncio.Event:
        """Every call waits until the event is set."""
        self._gates[name] = asyncio.Event()
        return self._gates[name]

    def recovers(self) -> None:
        """All works again, and what is held goes on."""
        self._before.clear()
        self._after.clear()
        gates, self._gates = self._gates, {}
        for gate in gates.values():
            gate.set()


class Books(NamedTuple):
    """Both sides' figures of one order."""

    status: str | None
    """In the ledger."""
    captured: int
    refunded: int
    kept: int
    """What the payment company has and has not given back."""
    parcels: int
    """On their way, by the carrier's own record."""
    held: int
    """Units that the ledger holds for the order."""
    sold: int


NOTHING_KEPT = {"kept": 0, "parcels": 0, "held": 0, "sold": 0}


class RealShop(Storefront):
    """One ledger, one set of companies, and a worker that tests stop and start."""

    def __init__(
        self, client: Client, folder: Path, ledger_url: str | None = None, histories: Path | None = None
    ) -> None:
        super().__init__(client, f"orders-{uuid4()}", World(), histories)
        self.folder = folder
        self.url = ledger_url or f"sqlite:///{folder / 'ledger.db'}"
        self.settings = Settings(provider_store=folder / "providers.db", task_queue=self.task_queue)
        self._running: AsyncExitStack | None = None
        self._resources = AsyncExitStack()

    async def open(self) -> None:
        """With a migrated ledger, full shelves and a worker."""
        await self.open_ledger(self.url)
        opened = await Providers.open(self.settings, {})
        self._resources.push_async_callback(opened.close)
        assert opened.store is not None
        self.store = opened.store
        self.payments, self.carrier = Company(opened.payments), Company(opened.carrier)
        self.mailer, self.fraud = Company(opened.mailer), Company(opened.fraud)
        self.providers: Any = replace(
            opened,
            payments=self.payments,  # type: ignore[arg-type]
            carrier=self.carrier,  # type: ignore[arg-type]
            mailer=self.mailer,  # type: ignore[arg-type]
            fraud=self.fraud,  # type: ignore[arg-type]
        )
        await self.work()

    async def open_ledger(self, url: str) -> None:
        """The ledger of the next worker; empty if it is new."""
        self.url = url
        await asyncio.to_thread(migrate, url)
        self.ledger = await Ledger.open(url)
        self._resources.push_async_callback(self.ledger.close)
        await self.ledger.transaction(partial(stock.ensure, wanted={"PROD-001": PIECES, "PROD-002": PIECES}))

    def worker(self) -> Worker:
        """Another one of this shop, not started."""
        return build_worker(self.client, self.settings, self.ledger, self.providers)

    async def work(self) -> None:
        """Start a worker."""
        self._running = AsyncExitStack()
        await self._running.enter_async_context(self.worker())

    async def stop_working(self) -> None:
        """Stop it, and have none."""
        if self._running is not None:
            running, self._running = self._running, None
            await running.aclose()

    async def close(self) -> None:
        """End what a test left open."""
        for company in (self.payments, self.carrier, self.mailer, self.fraud):
            company.recovers()
        await super().close()
        await self.stop_working()
        await self._resources.aclose()

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        """All of a table of the ledger."""
        return await self.ledger.transaction(lambda tx: [dict(row) for row in tx.execute(select(table)).mappings()])

    async def provider_rows(self, table: str) -> list[dict[str, Any]]:
        """All of a table of the simulated companies."""
        query = f"SELECT * FROM {table}"  # noqa: S608 - names of this file's own tests
        return await self.store.transaction(lambda tx: [dict(row) for row in tx.execute(query).fetchall()])

    async def books(self, order: PlacedOrder) -> Books:
        """What both sides have written down about `order`."""
        uid = order.uid
        status = next((row["status"] for row in await self.rows(tables.orders) if row["uid"] == uid), None)
        paid = next((row for row in await self.rows(tables.payments) if row["order_uid"] == uid), None)
        pieces = [r for r in await self.rows(tables.reservations) if r["operation_id"].startswith(f"{uid}/")]
        charges = [r for r in await self.provider_rows("charges") if r["key"].startswith(f"{uid}/")]
        refunds = [r for r in await self.provider_rows("refunds") if r["charge_key"].startswith(f"{uid}/")]
        parcels = [r for r in await self.provider_rows("shipments") if r["key"].startswith(f"{uid}/")]
        captured = sum(row["amount_minor"] for row in charges if row["state"] == "captured")
        return Books(
            status=status,
            captured=paid["captured_minor"] if paid else 0,
            refunded=paid["refunded_minor"] if paid else 0,
            kept=captured - sum(row["amount_minor"] for row in refunds),
            parcels=sum(row["state"] == "dispatched" for row in parcels),
            held=sum(row["quantity"] for row in pieces if row["state"] == "held"),
            sold=sum(row["quantity"] for row in pieces if row["state"] == "committed"),
        )

    async def kept_nothing(self, order: PlacedOrder) -> None:
        """Invariants of every order that was not carried out: the money is back, on both sides, and all units are."""
        books = await self.books(order)
        assert (books.kept, books.parcels, books.held, books.sold) == (0, 0, 0, 0), books
        assert books.captured == books.refunded, books

    async def carried_out(self, order: PlacedOrder, *, total: int, units: int = 1, parcels: int = 1) -> None:
        """Invariants of every completed order: paid once, shipped once, sold once."""
        assert await self.books(order) == Books("Order Completed", total, 0, total, parcels, 0, units)

    async def reset(self, order: PlacedOrder, *, before: str | None = None, exclude: Sequence[int] = ()) -> PlacedOrder:
        """The new run, from the first workflow task, or the last one before the activity `before` was scheduled."""
        run = (await order.handle.describe()).run_id
        return await self.reset_to(order, run, await self._reset_point(order, before), exclude)

    async def reset_to(self, order: PlacedOrder, run: str, task: int, exclude: Sequence[int] = ()) -> PlacedOrder:
        """The new run, a copy of `run` up to the workflow task that ended with the event `task`."""
        await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=order.handle.id, run_id=run),
                reason="try again",
                workflow_task_finish_event_id=task,
                request_id=str(uuid4()),
                reset_reapply_exclude_types=list(exclude),  # type: ignore[arg-type]
            )
        )
        handle = self.client.get_workflow_handle_for(OrderWorkflow.run, order.handle.id)
        return PlacedOrder(self.client, handle, order.uid)

    async def _reset_point(self, order: PlacedOrder, before: str | None) -> int:
        task = 0
        for event in await order.events():
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                task = event.event_id
                if before is None:
                    break
            scheduled = event.activity_task_scheduled_event_attributes.activity_type.name
            if before is not None and scheduled == before:
                break
        return task

    async def tasks(self, order: PlacedOrder) -> list[int]:
        """Every point that the order can be reset to. The server refuses a task that it began in the same write in
        which the one before had ended, as it does for the next part of a task with local activities."""
        points, before = [], None
        for event in await order.events():
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                joined = before is not None and before.event_time.ToNanoseconds() == event.event_time.ToNanoseconds()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED and not joined:
                points.append(event.event_id)
            before = event
        return points

    async def ends(self, order: PlacedOrder) -> str:
        """The status in which the newest run ends; a run that failed counts as well."""

        async def closed() -> bool:
            return (await order.handle.describe()).status is not WorkflowExecutionStatus.RUNNING

        await eventually(closed, "ended")
        return str((await order.snapshot()).status)

    async def shows_step(self, order: PlacedOrder, step: StepName) -> None:
        """Waits until the order carries out `step`."""

        async def there() -> bool:
            return (await order.snapshot()).current_step == step

        await eventually(there, f"{step}")


def migrate(url: str) -> None:
    """To the newest schema."""
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
