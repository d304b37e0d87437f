"""Orders outlive their workers."""

import pytest
from builders import a_line, an_order_spec
from fake_activities import World
from storefront import Storefront, a_worker, eventually
from temporalio.client import Client

from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import Decision

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])


async def test_an_order_that_waits_goes_on_at_another_worker(temporal: Client) -> None:
    world = World()
    shop = Storefront(temporal, "orders-restart", world, histories=None)
    async with a_worker(temporal, shop.task_queue, world):
        order = await shop.place(BIG)
        await order.reaches(OrderStatus.AWAIT_APPROVAL)

    async with a_worker(temporal, shop.task_queue, world):
        await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.count("reserve_stock") == world.count("charge_payment") == 1


async def test_a_worker_that_remembers_no_order_carries_it_by_replay(temporal: Client) -> None:
    world = World()
    shop = Storefront(temporal, "orders-no-cache", world, histories=None)
    async with a_worker(temporal, shop.task_queue, world, max_cached_workflows=0):
        order = await shop.place(BIG)
        await order.reaches(OrderStatus.AWAIT_APPROVAL)
        await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.calls.count("charge_payment") == world.calls.count("ship_line") == 1


@pytest.mark.parametrize("activity", ["reserve_stock", "charge_payment"])
async def test_orders_that_met_a_bug_in_an_activity_finish_at_a_mended_worker(temporal: Client, activity: str) -> None:
    world = World()
    shop = Storefront(temporal, f"orders-bug-{activity}", world, histories=None)
    world.fail(activity, TypeError("a bug of ours"))
    async with a_worker(temporal, shop.task_queue, world):
        orders = [await shop.place() for _ in range(5)]

        async def all_met_it() -> bool:
            return world.count(activity) >= len(orders)

        await eventually(all_met_it, "every order at the bug")
    world.repair(activity)

    async with a_worker(temporal, shop.task_queue, world):
        results = [await order.result() for order in orders]

    assert {result.status for result in results} == {OrderStatus.ORDER_COMPLETED}
    assert len(world.charged) == len(orders)
