"""Orders on a real Temporal server, carried by a worker whose activities are a `World`."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import an_order_input, an_order_spec
from fake_activities import World
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from order_domain.order import OrderSpec
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_worker.interceptors.error_translation import Translation
from order_worker.sandbox import checking_runner
from order_workflows import contract
from order_workflows.contract import OrderResult
from order_workflows.order_workflow import OrderWorkflow

DEADLINE_SECONDS = 60.0
"""Far more than anything here takes: a machine may be busy with something else."""
POLL_SECONDS = 0.02
UPDATES_AT_ONCE = 8
"""To one order. The server allows ten that are not answered yet."""
SHORT_TASK = timedelta(seconds=3)
"""For `Storefront.task_timeout`: what comes while a local activity runs is heard at four fifths of it."""


async def eventually(holds: Callable[[], Awaitable[bool]], what: str | Callable[[], str]) -> None:
    """Returns when `holds` does. Fails the test after `DEADLINE_SECONDS`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_SECONDS:.0f} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(POLL_SECONDS)


class PlacedOrder:
    """One order's workflow."""

    def __init__(self, client: Client, handle: WorkflowHandle[Any, OrderResult], uid: str) -> None:
        self.client = client
        self.handle = handle
        self.uid = uid

    async def result(self) -> OrderResult:
        """Raises WorkflowFailureError if the run failed."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.handle.result()

    async def snapshot(self) -> OrderSnapshot:
        """What the memo says now."""
        memo = await (await self.handle.describe()).memo()
        return OrderSnapshot.model_validate(memo.get(contract.MEMO_SNAPSHOT, {}))

    async def reaches(self, status: OrderStatus) -> OrderSnapshot:
        """Waits until the order shows `status`."""
        shown = await self.snapshot()

        async def there() -> bool:
            nonlocal shown
            shown = await self.snapshot()
            return shown.status is status

        await eventually(there, lambda: f"{status!r}, the last was {shown.status!r}")
        return shown

    async def ends_or_waits(self) -> None:
        """Waits until the run is closed or somebody has to act."""

        async def still() -> bool:
            closed = (await self.handle.describe()).close_time is not None
            return closed or (await self.snapshot()).pending_action is not None

        await eventually(still, "ended or waiting")

    async def holds_before_first_step(self) -> None:
        """Waits until an order that was placed suspended says so."""

        async def suspended() -> bool:
            return (await self.snapshot()).suspended

        await eventually(suspended, "suspended")

    async def update(self, name: str, argument: object = None, *, update_id: str | None = None) -> None:
        """Raises WorkflowUpdateFailedError when refused. The operator's Updates have ids that begin with the uid."""
        arguments = [] if argument is None else [argument]
        identifier = update_id or str(uuid.uuid4())
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    await self.handle.execute_update(name, args=arguments, id=identifier)
                except WorkflowUpdateRPCTimeoutOrCancelledError as late:
                    if not isinstance(late.__cause__, RPCError):
                        raise  # ours, not Temporal's
                else:
                    return
                # Beside many others a worker answers late. Asked under its id again, it repeats nothing.

    async def begins(self, name: str, argument: object) -> WorkflowUpdateHandle[Any]:
        """The Update `name`, accepted but perhaps not answered yet."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.handle.start_update(name, argument, wait_for_stage=WorkflowUpdateStage.ACCEPTED)

    async def refuses(self, name: str, argument: object = None, *, update_id: str | None = None) -> str:
        """The error type with which the Update `name` is refused."""
        return (await self.refusal(name, argument, update_id=update_id)).type or ""

    async def refusal(self, name: str, argument: object = None, *, update_id: str | None = None) -> ApplicationError:
        """The error with which the Update `name` is refused."""
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await self.update(name, argument, update_id=update_id)
        assert isinstance(refused.value.cause, ApplicationError)
        return refused.value.cause

    async def events(self) -> list[HistoryEvent]:
        """Its history so far."""
        return list((await self.handle.fetch_history()).events)

    async def count(self, kind: "EventType.ValueType") -> int:
        """Events of one type in its history."""
        return sum(event.event_type == kind for event in await self.events())

    async def scheduled(self) -> list[str]:
        """The activities that went over the task queue, in order."""
        return [
            event.activity_task_scheduled_event_attributes.activity_type.name
            for event in await self.events()
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        ]

    async def published(self) -> list[OrderSnapshot]:
        """Every snapshot that it ever wrote."""
        snapshots = []
        for event in await self.events():
            memo = event.workflow_properties_modified_event_attributes.upserted_memo.fields
            if contract.MEMO_SNAPSHOT in memo:
                (value,) = await self.client.data_converter.decode([memo[contract.MEMO_SNAPSHOT]])
                snapshots.append(OrderSnapshot.model_validate(value))
        return snapshots


def a_worker(
    client: Client,
    task_queue: str,
    world: World,
    *,
    max_cached_workflows: int = 1000,
    no_remote_activities: bool = False,
) -> Worker:
    """As the product builds it, with `world` for the ledger and the providers. 1000 is the SDK's default cache."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[OrderWorkflow],
        activities=world.activities,
        interceptors=[Translation()],
        workflow_runner=checking_runner(),
        max_cached_workflows=max_cached_workflows,
        no_remote_activities=no_remote_activities,
    )


class Storefront:
    """Takes orders; everything that happens to them is in `world`."""

    def __init__(self, client: Client, task_queue: str, world: World, histories: Path | None) -> None:
        self.client = client
        self.task_queue = task_queue
        self.world = world
        self.task_timeout: timedelta | None = None
        """Of workflow tasks; None for the server's 10 seconds."""
        self._histories = histories
        self._placed: list[PlacedOrder] = []

    async def place(
        self, spec: OrderSpec | None = None, *, signal: tuple[str, list[Any]] | None = None, **changes: object
    ) -> PlacedOrder:
        """Start the workflow of an order, which follows `a_policy()` unless `changes` name another `policy`. `signal`
        comes in its first workflow task."""
        uid = str(uuid.uuid4())
        wanted = an_order_input(uid=uid, name=f"order-{uid[:8]}", spec=spec or an_order_spec(), **changes)
        handle = await self.client.start_workflow(
            OrderWorkflow.run,
            wanted,
            id=contract.workflow_id(*(wanted.identity.namespace, wanted.identity.name, uid)),
            task_queue=self.task_queue,
            task_timeout=self.task_timeout,
            start_signal=signal[0] if signal else None,
            start_signal_args=signal[1] if signal else [],
            memo={contract.MEMO_UID: uid, contract.MEMO_INPUT_HASH: contract.input_hash(wanted.spec)},
        )
        placed = PlacedOrder(self.client, handle, uid)
        self._placed.append(placed)
        return placed

    async def record(self, path: str, run: PlacedOrder | WorkflowHandle[Any, Any]) -> None:
        """Keep the history of this closed run as `tests/replay/histories/<newest>/<path>.json`, with
        `--record-histories`. A shipment's run is recorded as `shipment-<path>`."""
        if self._histories is None:
            return
        handle = run.handle if isinstance(run, PlacedOrder) else run
        history = json.loads((await handle.fetch_history()).to_json())
        self._histories.mkdir(exist_ok=True)
        (self._histories / f"{path}.json").write_text(json.dumps(_without_traces(history), indent=1) + "\n")

    async def close(self) -> None:
        """End what a test left open."""
        self.world.release_all()
        for order in self._placed:
            newest_run = self.client.get_workflow_handle(order.handle.id)
            if (await newest_run.describe()).close_time is None:
                await self._terminate(newest_run)

    @staticmethod
    async def _terminate(run: WorkflowHandle[Any, Any]) -> None:
        try:
            await run.terminate("the test is over")
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # what was released has ended it meanwhile
                raise


def _without_traces(value: Any) -> Any:
    """Without stack traces, which replay does not need: they hold paths of the machine that recorded."""
    if isinstance(value, dict):
        return {key: _without_traces(item) for key, item in value.items() if key != "stackTrace"}
    if isinstance(value, list):
        return [_without_traces(item) for item in value]
    return value


@asynccontextmanager
async def a_shop(client: Client) -> AsyncIterator[Storefront]:
    """With a world and a worker of its own."""
    world = World()
    shop = Storefront(client, f"orders-{uuid.uuid4()}", world, None)
    async with a_worker(client, shop.task_queue, world):
        yield shop
        await shop.close()
