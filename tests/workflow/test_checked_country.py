"""A verdict of the fraud check holds for the country that it was asked about, and asking never blocks a decision."""

from builders import a_line, a_policy, an_address
from fake_activities import World
from storefront import Storefront

from order_domain.errors import FraudSuspected, ProviderUnavailable
from order_domain.policy import OrderClassSpec
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import AddressChange, Decision, LinesChange

ABROAD = an_address(country="DE")
OTHERS = [a_line(quantity=2, unit_price_minor=150_000)]


def asking(**changes: object) -> OrderClassSpec:
    return a_policy(approval={"mode": "Always", "window_seconds": 300}, **changes)


async def test_another_country_than_was_checked_is_asked_about_again(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ABROAD))
    world.fail("check_fraud", FraudSuspected("not to that country"))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    assert (await order.result()).status == OrderStatus.ORDER_REJECTED
    assert world.parcels == {}
    assert world.balance == 0


async def test_another_address_in_the_same_country_is_not_asked_about(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(line1="742 Evergreen Terrace")))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.count("check_fraud") == 1


async def test_a_change_of_lines_is_refused_while_the_fraud_service_is_away(shop: Storefront, world: World) -> None:
    # The second attempt would come after half a minute: too late for somebody who edits.
    order = await shop.place(policy=asking(retry={"default": {"initial_seconds": 40}}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    world.fail("check_fraud", ProviderUnavailable("away"))

    assert await order.refuses(contract.UPDATE_CHANGE_LINES, LinesChange(lines=OTHERS)) == "ProviderUnavailable"

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_a_country_that_comes_while_another_is_asked_about_is_asked_about_too(
    shop: Storefront, world: World
) -> None:
    """The parcel went to it unchecked."""
    order = await shop.place(policy=asking(retry={"default": {"initial_seconds": 1, "max_interval_seconds": 1}}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ABROAD))
    world.fail("check_fraud", ProviderUnavailable("away"))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    await order.reaches(OrderStatus.SHIP_ORDER)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(country="FR")))
    world.repair("check_fraud")

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.countries == ["US", "DE", "FR"]


async def test_a_country_that_came_before_a_pivot_that_charges_is_asked_about_before_the_parcel_leaves(
    shop: Storefront, world: World
) -> None:
    """It is too late to end the order, and not to hold the parcel back."""
    order = await shop.place(policy=asking(compensation={"pivot": "ChargePayment"}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ABROAD))
    world.fail("check_fraud", FraudSuspected("not to that country"))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    shown = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert shown.last_error is not None
    assert shown.last_error.type == "FraudSuspected"
    assert world.parcels == {}
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address()))
    await order.update(contract.UPDATE_RETRY)
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.delivered["1"].country == "US"
