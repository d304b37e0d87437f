"""Orders outlive their workers."""

from builders import a_line, an_order_spec
from fake_activities import World
from storefront import Storefront, a_worker
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
