"""Orders and a stock item on the worker that the product builds: its ledger, its news, its simulated supplier."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from builders import a_line, a_policy, an_order_input, an_order_spec
from stock_room import KeptItem
from storefront import PlacedOrder, eventually
from temporalio.client import Client, WorkflowExecutionStatus

from order_domain.errors import ProviderUnavailable
from order_domain.status import OrderStatus
from order_worker.bootstrap import Providers, build_worker
from order_worker.ledger import schema, stock
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.providers.supplier import simulated
from order_worker.providers.supplier.port import Confirmation
from order_worker.settings import Settings
from order_workflows import contract
from order_workflows.contract import CancelRequest
from order_workflows.order_workflow import OrderWorkflow

PATIENT = a_policy(inventory={"on_shortage": "Backorder"})


class Branch:
    """One article, and a worker for the task queue of its name."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self.client = client
        self.sku = f"SKU-{uuid4()}"
        self._ledger = ledger
        self._started: list[KeptItem | PlacedOrder] = []

    async def stocked(self, pieces: int) -> None:
        """Before anybody keeps it."""
        await self._ledger.transaction(partial(stock.ensure, wanted={self.sku: pieces}))

    async def keep(self, *, minimum: int, target: int) -> KeptItem:
        """Start its stock item."""
        item = await KeptItem.start(self.client, self.sku, minimum=minimum, target=target)
        self._started.append(item)
        return item

    async def order(self, quantity: int, *, price: int = 1) -> PlacedOrder:
        """One that waits for missing pieces."""
        uid = str(uuid4())
        lines = [a_line(sku=self.sku, quantity=quantity, unit_price_minor=price)]
        wanted = an_order_input(uid=uid, name=f"order-{uid[:8]}", spec=an_order_spec(lines=lines), policy=PATIENT)
        key = contract.workflow_id(wanted.identity.namespace, wanted.identity.name, uid)
        handle = await self.client.start_workflow(OrderWorkflow.run, wanted, id=key, task_queue=self.sku)
        placed = PlacedOrder(self.client, handle, uid)
        self._started.append(placed)
        return placed

    async def close(self) -> None:
        """End what a test left open."""
        for started in self._started:
            if (await started.handle.describe()).status is WorkflowExecutionStatus.RUNNING:
                await started.handle.terminate("the test is over")


@pytest.fixture
async def branch(temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Branch]:
    monkeypatch.setattr(simulated, "DELIVERY_TIME", timedelta(milliseconds=100))
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
    ledger = await Ledger.open(url)
    opened = Branch(temporal, ledger)
    settings = Settings(task_queue=opened.sku, provider_store=tmp_path / "providers.db")
    providers = await Providers.open(settings, {})
    async with build_worker(temporal, settings, ledger, providers):
        yield opened
        await opened.close()
    await providers.close()
    await ledger.close()


async def test_an_order_that_leaves_too_few_is_followed_by_a_delivery_up_to_the_target(branch: Branch) -> None:
    await branch.stocked(1000)
    item = await branch.keep(minimum=500, target=10_000)
    await item.shows(lambda shown: shown.on_hand == 1000)

    await (await branch.order(999)).result()

    shown = await item.shows(lambda shown: shown.on_hand == 10_000 and shown.sold == 999)
    assert shown.supplier_order is None


async def test_a_backorder_goes_on_when_the_supplier_has_delivered(branch: Branch) -> None:
    await branch.stocked(0)
    order = await branch.order(3)
    await order.reaches(OrderStatus.AWAIT_STOCK)

    await branch.keep(minimum=5, target=10)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_a_backorder_goes_on_when_another_order_gives_its_pieces_back(branch: Branch) -> None:
    await branch.stocked(3)
    item = await branch.keep(minimum=0, target=0)
    holder = await branch.order(3, price=50_000)
    await holder.reaches(OrderStatus.AWAIT_APPROVAL)
    order = await branch.order(2)
    await order.reaches(OrderStatus.AWAIT_STOCK)
    await item.shows(lambda shown: shown.on_hand == 0)

    await holder.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_a_supplier_that_does_not_answer_holds_up_no_order(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(self: object, key: str, *, sku: str, quantity: int) -> Confirmation:
        raise ProviderUnavailable("the supplier is closed")

    monkeypatch.setattr(simulated.SimulatedSupplier, "order", closed)
    await branch.stocked(10)
    item = await branch.keep(minimum=9, target=10)

    result = await (await branch.order(3)).result()

    assert result.status == OrderStatus.ORDER_COMPLETED
    shown = await item.shows(lambda shown: shown.last_error is not None)
    assert shown.last_error is not None
    assert shown.last_error.type == "ProviderUnavailable"


async def test_told_orders_include_one_whose_workflow_is_gone(branch: Branch) -> None:
    await branch.stocked(0)
    gone, order = await branch.order(1), await branch.order(2)
    for waiting in (gone, order):
        await waiting.reaches(OrderStatus.AWAIT_STOCK)
    await gone.handle.terminate("gone")

    await branch.keep(minimum=5, target=10)

    async def completed() -> bool:
        return (await order.handle.describe()).status is WorkflowExecutionStatus.COMPLETED

    await eventually(completed, "completed")
