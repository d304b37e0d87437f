"""An order is judged before it starts, at Validate and with each message; never while a workflow decodes it."""

from typing import Any

import pytest
from builders import a_policy, an_address, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from order_domain.order import Address, OrderSpec
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import AddressChange, CancelRequest, Decision

CARD = "4242424242424242"


def of(**changes: Any) -> OrderSpec:
    """As somebody may start a workflow who asks neither the API server nor the operator."""
    return OrderSpec.model_validate(an_order_spec().model_dump(mode="json") | changes)


def to(**changes: Any) -> Address:
    return Address.model_validate(an_address().model_dump(mode="json") | changes)


async def waiting(shop: Storefront, **changes: Any) -> PlacedOrder:
    order = await shop.place(policy=a_policy(approval={"mode": "Always", "window_seconds": 300}), **changes)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (of(shippingAddress=to(country="UK").model_dump(mode="json")), "spec.shippingAddress.country: UK is no ISO"),
        (of(shippingAddress=to(name=" ").model_dump(mode="json")), "spec.shippingAddress.name: must be text"),
        (of(payment={"method": CARD}), "spec.payment.method: looks like a card number"),
    ],
    ids=["a country that is none", "a blank name", "a card number"],
)
async def test_what_nobody_judged_before_is_invalid_at_validate(
    shop: Storefront, world: World, spec: OrderSpec, why: str
) -> None:
    result = await (await shop.place(spec=spec)).result()

    assert result.status == OrderStatus.ORDER_INVALID
    assert why in (result.message or "")
    assert CARD not in (result.message or "")
    assert world.count("reserve_stock") == world.count("charge_payment") == 0


@pytest.mark.parametrize("wrong", [to(country="UK"), to(name="\u200b"), to(city=" "), to(phone="?")], ids=str)
async def test_a_signalled_address_that_breaks_a_rule_is_dropped(
    shop: Storefront, world: World, wrong: Address
) -> None:
    order = await waiting(shop)

    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, wrong)
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    await order.result()
    assert world.delivered == {"1": an_address()}


async def test_a_cancellation_by_signal_counts_whatever_its_name_hides(shop: Storefront, world: World) -> None:
    order = await waiting(shop)

    await order.handle.signal(contract.SIGNAL_CANCEL_ORDER, CancelRequest(by="\u202ebob", reason="ordered twice"))

    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    assert "by signal" in (result.message or "")
    assert "ordered twice" in (result.message or "")


@pytest.mark.parametrize(
    ("update", "argument", "why"),
    [
        (contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=to(country="UK")), "GB is meant"),
        (contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=to(line1="\u202e1")), "address.line1: must be text"),
        (contract.UPDATE_APPROVE, Decision(by="\u3000"), "by: must be text"),
        (contract.UPDATE_CANCEL, CancelRequest(by="b\u200bob"), "by: must be text"),
    ],
)
async def test_an_update_that_breaks_a_rule_is_refused_with_the_name_of_the_field(
    shop: Storefront, update: str, argument: object, why: str
) -> None:
    order = await waiting(shop)

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.update(update, argument)

    assert isinstance(refused.value.cause, ApplicationError)
    assert why in refused.value.cause.message


async def test_an_address_without_postal_code_and_one_with_all_there_is_are_shipped_to(
    shop: Storefront, world: World
) -> None:
    whole = an_address(company="Roe & Sons", state="IL", phone="+1 217 555 0100")
    order = await waiting(shop, spec=an_order_spec(shipping_address=an_address(postal_code=None, country="HK")))

    assert (await order.snapshot()).shipping_address == an_address(postal_code=None, country="HK")

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=whole))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    assert (await order.result()).shipping_address == whole
    assert world.delivered == {"1": whole}
