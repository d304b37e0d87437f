"""Packing on a real server with the real activity, whose worker goes away in the middle."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

from builders import STANDARD_PIPELINE, a_line, a_policy, an_order_spec
from fake_activities import World
from storefront import Storefront
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_worker.activities.order import LedgerOrders
from order_worker.activities.warehouse import LedgerWarehouse
from order_worker.interceptors.error_translation import Translation
from order_worker.ledger import schema
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger
from order_worker.providers.warehouse.port import Warehouse
from order_worker.sandbox import checking_runner
from order_workflows.order_workflow import OrderWorkflow

PIPELINE = [*STANDARD_PIPELINE]
PIPELINE.insert(PIPELINE.index(StepName.CHARGE_PAYMENT), StepName.PREPARE_SHIPMENT)


class SlowWarehouse(Warehouse):
    """Remembers which lines it was asked for; one of them takes until `gate` opens."""

    def __init__(self, slow_line: str) -> None:
        self.asked: list[str] = []
        self.slow_line = slow_line
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()

    async def pack(self, key: str, *, line_id: str, sku: str, quantity: int) -> None:  # noqa: ARG002 - only the line tells
        self.asked.append(line_id)
        if line_id == self.slow_line:
            self.reached.set()
            await self.gate.wait()

    async def unpack(self, key: str, keep: Collection[str] = ()) -> None:
        raise NotImplementedError


async def test_a_packing_whose_worker_stops_goes_on_at_the_line_after_the_recorded_one(
    temporal: Client, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()
    ledger = await Ledger.open(url)
    world, warehouse = World(), SlowWarehouse("3")
    shop = Storefront(temporal, f"orders-{uuid4()}", world, None)
    real = [LedgerOrders(ledger).receive, LedgerWarehouse(ledger, warehouse).pack]
    names = {activity._Definition.must_from_callable(each).name for each in real}
    fake = [each for each in world.activities if activity._Definition.must_from_callable(each).name not in names]

    def a_worker() -> Worker:
        return Worker(
            temporal,
            task_queue=shop.task_queue,
            workflows=[OrderWorkflow],
            activities=[*fake, *real],
            interceptors=[Translation()],
            workflow_runner=checking_runner(),
        )

    lines = [a_line(line_id=str(number), unit_price_minor=100) for number in (1, 2, 3, 4)]
    async with a_worker():
        order = await shop.place(an_order_spec(lines=lines), policy=a_policy(pipeline=PIPELINE))
        await warehouse.reached.wait()
    warehouse.gate.set()

    async with a_worker():
        result = await order.result()

    await ledger.close()
    assert result.status == OrderStatus.ORDER_COMPLETED
    assert warehouse.asked == ["1", "2", "3", "3", "4"]
