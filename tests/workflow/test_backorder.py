"""An order for more than there is, where the class lets it wait."""

import asyncio

import pytest
from builders import a_line, a_policy, an_order_spec
from fake_activities import INITIAL_STOCK, World
from storefront import PlacedOrder, Storefront, eventually

from order_domain.errors import LedgerUnavailable
from order_domain.policy import OrderClassSpec
from order_domain.snapshot import DecisionOutcome
from order_domain.status import OrderStatus
from order_workflows import contract, timing
from order_workflows.contract import CancelRequest, Decision, LinesChange

TOO_MANY = [a_line(quantity=INITIAL_STOCK + 1, unit_price_minor=1)]


def patient(seconds: int = 60) -> OrderClassSpec:
    return a_policy(inventory={"on_shortage": "Backorder", "backorder_seconds": seconds})


async def a_backorder(shop: Storefront) -> PlacedOrder:
    order = await shop.place(an_order_spec(lines=TOO_MANY), policy=patient())
    await order.reaches(OrderStatus.AWAIT_STOCK)
    return order


async def test_a_backorder_goes_on_when_pieces_come_in(shop: Storefront, world: World) -> None:
    order = await a_backorder(shop)
    world.on_hand["PROD-001"] += 1

    await order.handle.signal(contract.SIGNAL_STOCK_ARRIVED)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    await shop.record("backorder", order)
    assert world.sold == {"PROD-001": INITIAL_STOCK + 1}


async def test_pieces_that_come_in_while_the_order_is_being_refused_are_not_missed(
    shop: Storefront, world: World
) -> None:
    order = await a_backorder(shop)
    world.fail("reserve_stock", LedgerUnavailable("busy"), times=1)
    await order.handle.signal(contract.SIGNAL_STOCK_ARRIVED)
    await eventually(lambda: tried(world, 2), "the attempt that meets a busy ledger")

    await order.handle.signal(contract.SIGNAL_STOCK_ARRIVED)

    async with asyncio.timeout(timing.FIRST_LOOK.total_seconds()):  # later it looks again by itself
        await eventually(lambda: tried(world, 4), "its repetition, and another attempt for the second news")


async def tried(world: World, times: int) -> bool:
    return world.count("reserve_stock") >= times


async def test_news_of_other_pieces_does_not_end_the_wait(shop: Storefront, world: World) -> None:
    order = await a_backorder(shop)

    await order.handle.signal(contract.SIGNAL_STOCK_ARRIVED)
    await order.reaches(OrderStatus.AWAIT_STOCK)
    world.on_hand["PROD-001"] += 1
    await order.handle.signal(contract.SIGNAL_STOCK_ARRIVED)

    await order.result()
    assert world.count("reserve_stock") >= 2


async def test_a_backorder_says_until_when_it_waits(shop: Storefront) -> None:
    order = await a_backorder(shop)

    action = (await order.snapshot()).pending_action

    assert action is not None
    assert action.kind == "Restock"
    assert action.deadline is not None


async def test_a_backorder_that_waits_too_long_expires(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(lines=TOO_MANY), policy=patient(seconds=1))

    result = await order.result()

    assert result.status == OrderStatus.ORDER_EXPIRED
    assert result.message == "the missing units did not come in time"
    assert world.untouched


@pytest.mark.parametrize("pieces", [1, INITIAL_STOCK])
async def test_a_backorder_for_fewer_pieces_goes_on_at_once(shop: Storefront, world: World, pieces: int) -> None:
    order = await a_backorder(shop)

    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[a_line(quantity=pieces, unit_price_minor=1)]))

    await order.result()
    assert world.sold == {"PROD-001": pieces}


async def test_a_cancelled_backorder_holds_nothing(shop: Storefront, world: World) -> None:
    order = await a_backorder(shop)

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.untouched


async def a_dear_backorder(shop: Storefront) -> PlacedOrder:
    """It asks for a decision once it has its pieces."""
    policy = a_policy(
        inventory={"on_shortage": "Backorder", "backorder_seconds": 31_536_000}, approval={"mode": "Always"}
    )
    order = await shop.place(an_order_spec(lines=TOO_MANY), policy=policy)
    await order.reaches(OrderStatus.AWAIT_STOCK)
    return order


async def test_a_backorder_that_is_rejected_while_it_waits_ends_as_rejected(shop: Storefront, world: World) -> None:
    """It waited on, its demand counted on, and it expired at last."""
    order = await a_dear_backorder(shop)

    await order.update(contract.UPDATE_REJECT, Decision(by="bob", reason="too many"))

    result = await order.result()
    await shop.record("rejected-backorder", order)
    assert (result.status, result.message) == (OrderStatus.ORDER_REJECTED, "rejected by bob: too many")
    assert (await order.snapshot()).approval.decision is DecisionOutcome.REJECTED
    assert world.untouched


async def test_a_backorder_that_is_approved_while_it_waits_shows_that(shop: Storefront, world: World) -> None:
    order = await a_dear_backorder(shop)

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    shown = await order.snapshot()
    assert (shown.status, shown.approval.decision) == (OrderStatus.AWAIT_STOCK, DecisionOutcome.APPROVED)
    world.on_hand["PROD-001"] += 1
    await order.handle.signal(contract.SIGNAL_STOCK_ARRIVED)
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
