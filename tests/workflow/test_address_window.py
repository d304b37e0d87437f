"""The customer may correct the address for a while after paying."""

from datetime import timedelta

import pytest
from builders import a_policy, an_address
from fake_activities import World
from storefront import PlacedOrder, Storefront
from temporalio.client import WorkflowFailureError

from order_domain.pipeline import StepName
from order_domain.policy import CompensationPolicy, OrderClassSpec
from order_domain.snapshot import StepState
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import AddressChange

ELSEWHERE = an_address(line1="742 Evergreen Terrace", city="Shelbyville")
NAMELESS = an_address(line1="Evergreen Terrace")


def a_windowed_policy(**window: object) -> OrderClassSpec:
    """The pipeline of system 000; a window of one minute, so that only the tests that shorten it see its end."""
    pipeline = ["Receive", "GetItems", "CheckFraud", "PrepareShipment", "ChargePayment", "AddressWindow", "Ship"]
    return a_policy(pipeline=pipeline, approval={"mode": "Never"}, address_window={"seconds": 60, **window})


async def an_order_at_its_window(shop: Storefront, **window: object) -> PlacedOrder:
    order = await shop.place(policy=a_windowed_policy(**window))
    await order.reaches(OrderStatus.AWAIT_ADDRESS)
    return order


async def test_the_window_opens_after_the_charge_and_says_until_when(shop: Storefront, world: World) -> None:
    order = await an_order_at_its_window(shop)

    snapshot = await order.snapshot()
    assert world.balance == 50_000
    assert snapshot.pending_action is not None
    assert snapshot.pending_action.kind == "ChangeAddress"
    assert snapshot.updated_at is not None
    assert snapshot.pending_action.deadline == snapshot.updated_at + timedelta(seconds=60)


async def test_a_window_behind_the_pivot_opens_too(shop: Storefront, world: World) -> None:
    policy = a_windowed_policy().model_copy(update={"compensation": CompensationPolicy(pivot=StepName.CHARGE_PAYMENT)})
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.AWAIT_ADDRESS)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE))

    assert (await order.result()).shipping_address == ELSEWHERE
    assert world.delivered == {"1": ELSEWHERE}


async def test_a_changed_address_ends_the_window_and_is_shipped_to(shop: Storefront, world: World) -> None:
    order = await an_order_at_its_window(shop)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE))

    result = await order.result()
    await shop.record("address-changed", order)
    assert result.shipping_address == ELSEWHERE
    assert world.delivered == {"1": ELSEWHERE}


async def test_a_window_that_passes_ships_to_the_address_as_it_is(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=a_windowed_policy(seconds=1))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    await shop.record("address-window-passed", order)
    assert world.delivered == {"1": an_address()}


async def test_a_window_that_passes_undoes_the_order_where_the_class_says_so(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=a_windowed_policy(seconds=1, on_expiry="Fail"))

    with pytest.raises(WorkflowFailureError):
        await order.result()

    snapshot = await order.snapshot()
    assert snapshot.last_error is not None
    assert snapshot.last_error.type == "AddressNotConfirmed"
    assert world.refunded
    assert world.untouched


async def test_an_address_without_a_house_number_is_refused_and_leaves_no_trace(shop: Storefront) -> None:
    order = await an_order_at_its_window(shop, house_number_first=True)
    before = len(await order.events())

    assert await order.refuses(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=NAMELESS)) == "InvalidAddress"

    assert len(await order.events()) == before
    assert (await order.snapshot()).shipping_address == an_address()


async def test_an_address_that_starts_with_a_zero_is_accepted(shop: Storefront, world: World) -> None:
    """Defect 23 of the reference systems: one language refused a leading zero."""
    zero = an_address(line1="0 Null Road")
    order = await an_order_at_its_window(shop, house_number_first=True)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=zero))

    await order.result()
    assert world.delivered == {"1": zero}


async def test_a_signalled_address_is_checked_like_an_update(shop: Storefront, world: World) -> None:
    order = await an_order_at_its_window(shop, house_number_first=True)

    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, NAMELESS)
    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, ELSEWHERE)

    await order.result()
    assert world.delivered == {"1": ELSEWHERE}


async def test_by_signal_an_address_is_taken_unchecked(shop: Storefront, world: World) -> None:
    order = await an_order_at_its_window(shop, via="Signal", house_number_first=True)

    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, NAMELESS)

    await order.result()
    assert world.delivered == {"1": NAMELESS}


async def test_the_last_of_several_addresses_wins(shop: Storefront, world: World) -> None:
    held = world.hold("charge_payment")
    order = await shop.place(policy=a_windowed_policy(via="Signal"))
    await held.reached.wait()

    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, NAMELESS)
    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, ELSEWHERE)
    held.release()

    await order.result()
    assert world.delivered == {"1": ELSEWHERE}


async def test_an_address_changed_before_the_window_makes_it_needless(shop: Storefront, world: World) -> None:
    held = world.hold("charge_payment")
    order = await shop.place(policy=a_windowed_policy())
    await held.reached.wait()
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE))
    held.release()

    await order.result()

    steps = {record.name: record.state for record in (await order.snapshot()).steps}
    assert steps[StepName.ADDRESS_WINDOW] is StepState.SKIPPED
    assert world.delivered == {"1": ELSEWHERE}


async def test_a_change_after_the_window_is_refused_once_shipping_began(shop: Storefront, world: World) -> None:
    """Defect 15 of the reference systems: late changes were acknowledged, then ignored."""
    parcel = world.hold("ship_line")
    order = await shop.place(policy=a_windowed_policy(seconds=1))
    await parcel.reached.wait()

    assert await order.refuses(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE)) == "AlreadyShipped"

    parcel.release()
    await order.result()
    assert world.delivered == {"1": an_address()}


async def test_an_order_cancelled_in_its_window_is_refunded_and_unpacked(shop: Storefront, world: World) -> None:
    order = await an_order_at_its_window(shop)

    await order.update(contract.UPDATE_CANCEL, contract.CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.refunded
    assert world.untouched
