"""The customer is told how the order went, once; a mail that fails changes nothing else."""

from collections.abc import Awaitable, Callable

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront
from temporalio.client import WorkflowFailureError

from order_domain.errors import FraudSuspected, PaymentDeclined, ProviderUnavailable
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import CancelRequest, Decision

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])
IMPATIENT = a_policy(approval={"mode": "Always", "window_seconds": 1}, retry={"default": {"max_attempts": 1}})


async def cancel(order: PlacedOrder) -> None:
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana", reason="changed my mind"))


async def reject(order: PlacedOrder) -> None:
    await order.update(contract.UPDATE_REJECT, Decision(by="bob", reason="too dear"))


async def let_it_expire(order: PlacedOrder) -> None:
    await order.result()


@pytest.mark.parametrize(
    ("end", "subject", "why"),
    [
        (cancel, "was cancelled", "cancelled by ana: changed my mind"),
        (reject, "was rejected", "rejected by bob: too dear"),
        (let_it_expire, "has expired", "no decision within"),
    ],
)
async def test_an_order_that_ends_early_is_told_of_once_with_the_reason(
    shop: Storefront, world: World, end: Callable[[PlacedOrder], Awaitable[None]], subject: str, why: str
) -> None:
    order = await shop.place(BIG, policy=IMPATIENT if end is let_it_expire else a_policy())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await end(order)
    await order.result()

    (mail,) = world.mails
    assert mail.subject.endswith(subject)
    assert why in mail.body


async def test_a_fraud_verdict_is_told_too(shop: Storefront, world: World) -> None:
    world.fail("check_fraud", FraudSuspected("stolen card"))
    order = await shop.place()

    await order.result()

    assert [mail.subject.endswith("was rejected") for mail in world.mails] == [True]


async def test_a_declined_payment_is_told_to_the_customer(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", PaymentDeclined("insufficient funds"))
    order = await shop.place()

    with pytest.raises(WorkflowFailureError):
        await order.result()

    [mail] = world.mails
    assert "insufficient funds" in mail.body
    assert "You have not been charged." in mail.body


async def test_a_class_without_mail_tells_nobody_of_the_end(shop: Storefront, world: World) -> None:
    order = await shop.place(BIG, policy=a_policy(pipeline=["Receive", "Approval"]))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await cancel(order)
    await order.result()

    assert world.mails == []


async def test_a_mail_of_the_end_that_fails_is_shown_and_changes_nothing(shop: Storefront, world: World) -> None:
    world.fail("notify_customer", ProviderUnavailable("no mail today"))
    order = await shop.place(BIG, policy=a_policy(retry={"default": {"max_attempts": 1}}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await cancel(order)

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert (await order.snapshot()).notified is False


async def test_a_mail_service_that_stays_down_does_not_hold_an_order_open(shop: Storefront, world: World) -> None:
    world.fail("notify_customer", ProviderUnavailable("no mail today"))
    quick = {"initial_seconds": 1, "coefficient": 1, "max_attempts": 0}
    order = await shop.place(policy=a_policy(retry={"default": quick}))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.count("notify_customer") == 5


async def test_the_confirmation_says_where_the_parcels_go(shop: Storefront, world: World) -> None:
    address = an_address(company="Roe & Sons", state="IL", phone="+1 217 555 0100")

    await (await shop.place(an_order_spec(shipping_address=address))).result()

    (mail,) = world.mails
    assert mail.body.endswith(f"\nShipped to:\n{address.label}\n")


async def test_the_confirmation_of_an_order_of_an_earlier_release_has_its_words(shop: Storefront, world: World) -> None:
    """It may be half-way to the mail service."""
    await (await shop.place(revision=3)).result()

    (mail,) = world.mails
    assert "Shipped" not in mail.body
