"""A worker that is killed after the ledger has committed and before the workflow task ended: what it did is in the
ledger and not in the history. Then the order is cancelled or edited, and another worker goes on."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
import worker_to_be_killed
from builders import a_line, a_policy, an_order_spec
from real_shop import SHIPPING, RealShop, shipping_class
from storefront import DEADLINE_SECONDS, PlacedOrder
from temporalio.client import WorkflowUpdateStage
from temporalio.service import RPCError

from order_domain.policy import OrderClassSpec
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_workflows import contract
from order_workflows.contract import Decision, LinesChange

WAITS = a_policy(approval={"mode": "Always"})
WRITES_BACK = ["Receive", "Validate", "ReserveStock", "ChargePayment", "UpdateOrderStatus", "Notify"]
TASK_TIMEOUT = timedelta(seconds=2)
"""After it the server gives the task of a worker that was killed to another one."""
CANCELS = pytest.mark.parametrize("by", ["temporal", "signal"])


@pytest.fixture(autouse=True)
def _tasks_are_given_to_another_worker_soon(real: RealShop) -> None:
    real.task_timeout = TASK_TIMEOUT


@asynccontextmanager
async def killed_after(real: RealShop, where: str, address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process works meanwhile; on leaving it has committed `where`, and is killed."""
    await real.stop_working()
    script = str(Path(worker_to_be_killed.__file__))
    arguments = (address, real.task_queue, real.url, str(real.settings.provider_store), where)
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await process.stdout.readline()).decode().strip() == worker_to_be_killed.COMMITTED
    finally:
        process.kill()
        await process.wait()


async def lost(real: RealShop, where: str, address: str, policy: OrderClassSpec) -> PlacedOrder:
    async with killed_after(real, where, address):
        return await real.place(policy=policy)


async def cancel(order: PlacedOrder, by: str) -> None:
    if by == "temporal":
        await order.handle.cancel()
    else:
        await order.handle.signal(contract.SIGNAL_CANCEL_ORDER)


async def change_in_vain(order: PlacedOrder, change: LinesChange) -> None:
    """Ask for it; the worker that hears it is killed, and the next may answer after the asking was given up."""
    with suppress(RPCError, asyncio.CancelledError):
        await order.handle.start_update(
            contract.UPDATE_CHANGE_LINES, change, wait_for_stage=WorkflowUpdateStage.COMPLETED
        )


@pytest.mark.long
@CANCELS
@pytest.mark.parametrize("where", ["receive", "reserve"])
async def test_a_cancelled_order_gives_back_what_a_lost_task_had_reserved(
    real: RealShop, temporal_address: str, where: str, by: str
) -> None:
    order = await lost(real, where, temporal_address, WAITS)
    assert (await real.books(order)).held == (where == "reserve")

    await cancel(order, by)
    await real.work()

    assert await real.ends(order) == OrderStatus.ORDER_CANCELLED
    await real.kept_nothing(order)


@pytest.mark.long
@CANCELS
async def test_an_order_whose_sale_a_lost_task_had_recorded_goes_on_though_it_is_cancelled(
    real: RealShop, temporal_address: str, by: str
) -> None:
    order = await lost(real, "commit", temporal_address, shipping_class())

    await cancel(order, by)
    await real.work()

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=50_000)


@pytest.mark.long
@CANCELS
async def test_an_order_that_a_lost_task_had_closed_stays_completed_though_it_is_cancelled(
    real: RealShop, temporal_address: str, by: str
) -> None:
    order = await lost(real, "close", temporal_address, shipping_class(WRITES_BACK))

    await cancel(order, by)
    await real.work()

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=50_000, parcels=0)
    assert [mail["subject"] for mail in await real.provider_rows("mails")] != []


@pytest.mark.long
@CANCELS
async def test_a_cancelled_order_gives_back_what_a_lost_change_of_lines_had_reserved(
    real: RealShop, temporal_address: str, by: str
) -> None:
    order = await real.place(policy=WAITS)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    async with killed_after(real, "change_lines", temporal_address):
        asking = asyncio.create_task(change_in_vain(order, LinesChange(lines=[a_line(quantity=7)])))
    assert (await real.books(order)).held == 7

    await cancel(order, by)
    await real.work()

    assert await real.ends(order) == OrderStatus.ORDER_CANCELLED
    asking.cancel()
    await real.kept_nothing(order)


@pytest.mark.long
async def test_an_order_whose_change_of_lines_was_lost_is_charged_and_sold_by_the_next_change(
    real: RealShop, temporal_address: str
) -> None:
    spec = an_order_spec(lines=[a_line(unit_price_minor=100)])
    order = await real.place(spec, policy=WAITS)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    async with killed_after(real, "change_lines", temporal_address):
        change = LinesChange(lines=[a_line(quantity=7, unit_price_minor=100)])
        asking = asyncio.create_task(change_in_vain(order, change))

    await real.work()
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[a_line(quantity=3, unit_price_minor=100)]))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=300, currency="USD"))

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    asking.cancel()
    await real.carried_out(order, total=300, units=3)


@pytest.mark.long
@pytest.mark.parametrize("where", ["receive", "reserve"])
async def test_an_order_that_is_edited_after_a_lost_task_is_carried_out_with_one_set_of_lines(
    real: RealShop, temporal_address: str, where: str
) -> None:
    order = await lost(real, where, temporal_address, a_policy(pipeline=SHIPPING, approval={"mode": "Never"}))
    change = LinesChange(lines=[a_line(quantity=2, unit_price_minor=100)])
    asking = asyncio.create_task(order.begins(contract.UPDATE_CHANGE_LINES, change))
    await real.work()

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    asking.cancel()
    with suppress(RPCError, asyncio.CancelledError):
        await asking
    lines = (await real.rows(tables.orders))[0]["lines"]
    (price, number) = (lines[0]["unitPriceMinor"], lines[0]["quantity"])
    await real.carried_out(order, total=price * number, units=number)
