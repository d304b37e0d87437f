"""Before the pivot every failure undoes the order; after it nothing goes backward."""

import pytest
from builders import a_policy, an_address
from fake_activities import World
from storefront import Storefront, eventually
from temporalio.client import WorkflowFailureError

from order_domain.errors import OperationConflict, OrderError, ProviderUnavailable, Undeliverable
from order_domain.order import Address
from order_domain.policy import OrderClassSpec
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import AddressChange, CancelRequest

ELSEWHERE = an_address(line1="742 Evergreen Terrace", city="Shelbyville")


def charging_is_the_pivot() -> OrderClassSpec:
    return a_policy(compensation={"pivot": "ChargePayment"}, retry={"default": {"max_attempts": 1}})


def without_shipping() -> OrderClassSpec:
    """The pipeline of system 003, whose last step before the mail is the write-back."""
    pipeline = ["Receive", "ReserveStock", "ChargePayment", "UpdateOrderStatus", "Notify"]
    return a_policy(pipeline=pipeline, approval={"mode": "Never"}, retry={"default": {"max_attempts": 1}})


async def test_a_write_back_that_fails_before_the_pivot_refunds_then_releases(shop: Storefront, world: World) -> None:
    world.fail("update_order_status", ProviderUnavailable("the books are closed"))
    order = await shop.place(policy=without_shipping())

    with pytest.raises(WorkflowFailureError):
        await order.result()

    undos = [call for call in world.calls if call in ("refund_payment", "release_stock")]
    assert undos == ["refund_payment", "release_stock"]
    assert world.untouched


async def test_an_order_without_shipping_sells_its_pieces_when_it_is_written_back(
    shop: Storefront, world: World
) -> None:
    order = await shop.place(policy=without_shipping())

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    await shop.record("written-back", order)
    assert world.statuses == [OrderStatus.UPDATE_ORDER_STATUS]
    assert world.sold == {"PROD-001": 1}


@pytest.mark.parametrize("error", [ProviderUnavailable("no truck"), Undeliverable("no such street")])
async def test_a_shipment_that_fails_after_the_pivot_waits_for_a_person(
    shop: Storefront, world: World, error: OrderError
) -> None:
    world.fail("ship_line", error)
    order = await shop.place(policy=charging_is_the_pivot())

    snapshot = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert snapshot.compensation is None
    assert snapshot.pending_action is not None
    assert snapshot.pending_action.kind == "Resume"
    assert world.balance == 50_000
    assert world.sold == {"PROD-001": 1}


@pytest.mark.parametrize("error", [ProviderUnavailable("no truck"), Undeliverable("no such street")])
async def test_resume_after_the_repair_carries_an_order_past_its_pivot_to_the_end(
    shop: Storefront, world: World, error: OrderError
) -> None:
    world.fail("ship_line", error)
    order = await shop.place(policy=charging_is_the_pivot())
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.repair("ship_line")
    await order.update(contract.UPDATE_RESUME)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    await shop.record("forward-recovery", order)
    assert len(world.charged) == len(world.delivered) == 1


async def test_an_address_that_the_carrier_refused_after_the_pivot_can_be_corrected(
    shop: Storefront, world: World
) -> None:
    world.fail("ship_line", Undeliverable("no such street"), times=1)
    order = await shop.place(policy=charging_is_the_pivot())
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE))
    await order.update(contract.UPDATE_RESUME)

    await order.result()
    delivered: dict[str, Address] = world.delivered
    assert delivered == {"1": ELSEWHERE}


async def test_an_order_past_its_pivot_cannot_be_cancelled(shop: Storefront, world: World) -> None:
    world.fail("ship_line", ProviderUnavailable("no truck"))
    order = await shop.place(policy=charging_is_the_pivot())
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert await order.refuses(contract.UPDATE_CANCEL, CancelRequest(by="ana")) == "AlreadyShipped"


async def test_pieces_that_cannot_be_booked_as_sold_wait_for_a_person(shop: Storefront, world: World) -> None:
    world.fail("commit_stock", OperationConflict("the ledger knows another reservation"))
    order = await shop.place()
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.repair("commit_stock")
    await order.update(contract.UPDATE_RESUME)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.count("ship_line") == 1
    assert world.sold == {"PROD-001": 1}


async def test_resume_without_a_repair_asks_again_and_waits_again(shop: Storefront, world: World) -> None:
    world.fail("ship_line", ProviderUnavailable("no truck"))
    order = await shop.place(policy=charging_is_the_pivot())
    first = await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_RESUME)

    async def asked_again() -> bool:
        return world.count("ship_line") == 2

    await eventually(asked_again, "a second try")
    assert (await order.reaches(OrderStatus.MANUAL_REVIEW)).seq > first.seq
