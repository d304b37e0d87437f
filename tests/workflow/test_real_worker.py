"""Orders on the worker that the product builds, with its ledger and simulated companies, also after a reset."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from builders import a_line, a_policy, an_order_input, an_order_spec
from storefront import PlacedOrder
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus

from order_domain.errors import ProviderUnavailable
from order_domain.policy import OrderClassSpec
from order_domain.status import OrderStatus
from order_worker.bootstrap import Providers, build_worker
from order_worker.ledger import schema, stock
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.settings import Settings
from order_workflows import contract
from order_workflows.contract import CancelRequest
from order_workflows.order_workflow import OrderWorkflow

SKU = "PROD-001"


class Shop:
    """A worker with a task queue, a ledger and a provider store of its own."""

    def __init__(self, client: Client, ledger: Ledger, folder: Path, queue: str) -> None:
        self.client = client
        self._ledger = ledger
        self._folder = folder
        self._queue = queue
        self._placed: list[PlacedOrder] = []

    async def place(self, policy: OrderClassSpec | None = None) -> PlacedOrder:
        uid = str(uuid4())
        spec = an_order_spec(lines=[a_line(sku=SKU)])
        wanted = an_order_input(uid=uid, name=f"order-{uid[:8]}", spec=spec, policy=policy or a_policy())
        key = contract.workflow_id(wanted.identity.namespace, wanted.identity.name, uid)
        handle = await self.client.start_workflow(OrderWorkflow.run, wanted, id=key, task_queue=self._queue)
        placed = PlacedOrder(self.client, handle, uid)
        self._placed.append(placed)
        return placed

    async def reset(self, order: PlacedOrder, *, reapply: bool) -> PlacedOrder:
        """To its first workflow task."""
        first = next(
            event.event_id
            for event in await order.events()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        )
        reapplied = ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE
        await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=order.handle.id),
                reason="a test",
                workflow_task_finish_event_id=first,
                request_id=str(uuid4()),
                reset_reapply_type=reapplied if reapply else ResetReapplyType.RESET_REAPPLY_TYPE_NONE,
            )
        )
        newest = PlacedOrder(
            self.client, self.client.get_workflow_handle_for(OrderWorkflow.run, order.handle.id), order.uid
        )
        self._placed.append(newest)
        return newest

    @property
    def kept_by_the_provider(self) -> int:
        """Captured less refunded, from the provider's own file."""
        with sqlite3.connect(self._folder / "providers.db") as store:
            (captured,) = store.execute("SELECT total(amount_minor) FROM charges WHERE state = 'captured'").fetchone()
            (refunded,) = store.execute("SELECT total(amount_minor) FROM refunds").fetchone()
        return int(captured - refunded)

    @property
    def units(self) -> tuple[int, int, int]:
        """Free, reserved, sold, from the ledger's own file."""
        with sqlite3.connect(self._folder / "ledger.db") as books:
            free, reserved, sold = books.execute("SELECT on_hand, reserved, sold FROM stock").fetchone()
        return free, reserved, sold

    async def close(self) -> None:
        for order in self._placed:
            handle = self.client.get_workflow_handle(order.handle.id)
            if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
                await handle.terminate("the test is over")


@asynccontextmanager
async def opened(temporal: Client, tmp_path: Path) -> AsyncIterator[Shop]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
    ledger = await Ledger.open(url)
    await ledger.transaction(partial(stock.ensure, wanted={SKU: 1000}))
    queue = f"real-{uuid4()}"
    settings = Settings(task_queue=queue, provider_store=tmp_path / "providers.db")
    providers = await Providers.open(settings, {})
    shop = Shop(temporal, ledger, tmp_path, queue)
    async with build_worker(temporal, settings, ledger, providers):
        yield shop
        await shop.close()
    await providers.close()
    await ledger.close()


@pytest.fixture
async def real_shop(temporal: Client, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened(temporal, tmp_path) as shop:
        yield shop


@pytest.fixture(params=[frozenset(), frozenset({2})], ids=["as today", "as announced for the next SDK"])
async def flagged_shop(
    request: pytest.FixtureRequest, temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Shop, bool]]:
    """A worker without and with the SDK's logic flag 2, and which of the two it is."""
    monkeypatch.setattr("temporalio.worker._workflow._DEFAULT_ENABLED_WORKFLOW_LOGIC_FLAGS", request.param)
    async with opened(temporal, tmp_path) as shop:
        yield shop, bool(request.param)


async def in_manual_review_with_the_money(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> PlacedOrder:
    """Charged, cancelled while it waits for an address, and the provider refuses every refund."""

    async def refuse(*_: object, **__: object) -> None:
        raise ProviderUnavailable("no refunds today")

    # Gives up at once instead of after eight minutes.
    monkeypatch.setattr("order_workflows.timing.UNDO", {**_undo(), "retry_policy": _once()})
    monkeypatch.setattr(SimulatedPayments, "refund", refuse)
    pipeline = ["Receive", "Validate", "ReserveStock", "ChargePayment", "AddressWindow", "Ship"]
    order = await shop.place(a_policy(pipeline=pipeline, approval={"mode": "Never"}, address_window={"seconds": 3600}))
    await order.reaches(OrderStatus.AWAIT_ADDRESS)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    assert shop.kept_by_the_provider == 50_000
    return order


def _undo() -> dict[str, object]:
    from order_workflows import timing  # noqa: PLC0415 - the value before it is patched

    return dict(timing.UNDO)


def _once() -> object:
    from temporalio.common import RetryPolicy  # noqa: PLC0415

    return RetryPolicy(maximum_attempts=1)


@pytest.mark.parametrize("reapply", [True, False], ids=["with the cancellation", "without it"])
async def test_a_reset_out_of_manual_review_gives_the_money_back(
    real_shop: Shop, monkeypatch: pytest.MonkeyPatch, reapply: bool
) -> None:
    with monkeypatch.context() as broken:
        order = await in_manual_review_with_the_money(real_shop, broken)

    again = await real_shop.reset(order, reapply=reapply)

    assert (await again.result()).status == OrderStatus.ORDER_CANCELLED
    assert real_shop.kept_by_the_provider == 0
    assert real_shop.units == (1000, 0, 0)


@pytest.mark.parametrize("reapply", [True, False])
async def test_a_reset_of_a_completed_order_completes_it_again_without_a_second_charge(
    real_shop: Shop, reapply: bool
) -> None:
    order = await real_shop.place()
    await order.result()

    again = await real_shop.reset(order, reapply=reapply)

    assert (await again.result()).status == OrderStatus.ORDER_COMPLETED
    assert real_shop.kept_by_the_provider == 50_000
    assert real_shop.units == (999, 0, 1)


@pytest.mark.parametrize("reapply", [True, False])
async def test_a_reset_of_a_cancelled_order_ends_as_cancelled_and_ships_nothing(real_shop: Shop, reapply: bool) -> None:
    pipeline = ["Receive", "Validate", "ReserveStock", "ChargePayment", "AddressWindow", "Ship"]
    policy = a_policy(pipeline=pipeline, approval={"mode": "Never"}, address_window={"seconds": 3600})
    order = await real_shop.place(policy)
    await order.reaches(OrderStatus.AWAIT_ADDRESS)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.result()

    again = await real_shop.reset(order, reapply=reapply)

    assert (await again.result()).status == OrderStatus.ORDER_CANCELLED
    assert real_shop.kept_by_the_provider == 0
    assert real_shop.units == (1000, 0, 0)


async def test_a_cancel_by_temporal_during_manual_review_stops_no_undoing(
    flagged_shop: tuple[Shop, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the SDK's logic flag 2, `wait_condition` raises when the workflow is cancelled meanwhile."""
    shop, flagged = flagged_shop
    with monkeypatch.context() as broken:
        order = await in_manual_review_with_the_money(shop, broken)
    await order.handle.cancel()

    await order.update(contract.UPDATE_RETRY)

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert shop.kept_by_the_provider == 0
    used = [
        flag
        for event in await order.events()
        for flag in event.workflow_task_completed_event_attributes.sdk_metadata.lang_used_flags
    ]
    assert (2 in used) is flagged
