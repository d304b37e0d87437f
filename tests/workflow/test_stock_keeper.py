"""An article that another workflow keeps: of another installation, or in the place of one of an earlier release."""

from uuid import uuid4

import pytest
from stock_room import KeptItem, StockRoom, a_stock_worker
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from order_domain.stock_item import SupplierOrderRecord
from order_operator.temporal.not_found import is_no_such_run
from order_workflows.contract import former_stock_workflow_id, stock_workflow_id


@pytest.fixture
def sku() -> str:
    return f"SKU-{uuid4()}"


async def test_a_workflow_takes_the_place_of_that_of_an_earlier_release_in_the_middle_of_a_restock(
    temporal: Client, sku: str
) -> None:
    room, former = StockRoom(on_hand=1), former_stock_workflow_id(sku)
    room.delivers = False
    async with a_stock_worker(temporal, sku, room):
        earlier = await KeptItem.start(temporal, sku, minimum=5, identifier=former)
        before = await earlier.shows(
            lambda shown: shown.supplier_order is not None and bool(shown.supplier_order.placed_at)
        )

        later = await KeptItem.start(temporal, sku, minimum=5, follows=former, seq=before.seq)
        shown = await later.shows(lambda shown: shown.supplier_order is not None)
        try:
            await earlier.changed()
        except RPCError as failed:  # it has looked by itself meanwhile, and has ended
            if not is_no_such_run(failed):
                raise

        assert (await earlier.ends()).status is WorkflowExecutionStatus.COMPLETED
        assert shown.seq > before.seq
        assert shown.supplier_order is not None
        assert before.supplier_order is not None
        assert shown.supplier_order.id == before.supplier_order.id
        assert (room.rules, room.keeper) == ((5, 10), stock_workflow_id("test", sku))
        assert len(room.placed) == 1
        room.delivers = True
        await later.changed()
        await later.shows(lambda shown: shown.on_hand == 10)
        await later.handle.cancel()
        await later.ends()


async def test_what_another_installation_keeps_is_shown_and_left_to_it(temporal: Client, sku: str) -> None:
    room = StockRoom(on_hand=1)
    room.keeper, room.rules = stock_workflow_id("another", sku), (0, 1)
    room.on_order = SupplierOrderRecord(id=f"{sku}/1", quantity=9)
    async with a_stock_worker(temporal, sku, room):
        item = await KeptItem.start(temporal, sku, minimum=5)

        shown = await item.shows(lambda shown: shown.kept_by is not None)
        assert (shown.kept_by, shown.on_hand, shown.supplier_order) == (room.keeper, 1, None)
        await item.handle.cancel()
        await item.ends()

    assert (room.rules, room.placed) == ((0, 1), {})


async def test_an_article_that_the_other_let_go_is_taken_over(temporal: Client, sku: str) -> None:
    room = StockRoom(on_hand=7)
    room.keeper = stock_workflow_id("another", sku)
    async with a_stock_worker(temporal, sku, room):
        item = await KeptItem.start(temporal, sku)
        await item.shows(lambda shown: shown.kept_by is not None)

        room.keeper = None
        await item.changed()

        await item.shows(lambda shown: shown.kept_by is None)
        await item.handle.cancel()
        await item.ends()
