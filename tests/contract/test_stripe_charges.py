"""One fate per charge at Stripe: taken, declined or void."""

import asyncio

import pytest
from fake_stripe import FakeStripe
from stripe_requests import LONG_AGO, charge, now, refund, yesterday

from order_domain.errors import OperationCancelled, PaymentDeclined, ProviderUnavailable
from order_worker.providers.payment.stripe.payments import StripePayments


async def test_a_payment_method_may_be_an_id(stripe: FakeStripe, payments: StripePayments) -> None:
    await charge(payments, method="pm_card_visa")
    assert stripe.taken() == 750


async def test_a_charge_that_never_reported_is_refunded(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.fail("confirm", lost=True)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    assert await refund(payments) is not None
    assert stripe.taken() == 0


@pytest.mark.parametrize("later", [False, True])
async def test_a_void_key_stays_void(stripe: FakeStripe, payments: StripePayments, later: bool) -> None:
    assert await refund(payments) is None
    if later:
        stripe.a_day_later()
    with pytest.raises(OperationCancelled):
        await charge(payments, asked_at=yesterday() if later else now())
    assert stripe.taken() == 0


async def test_a_refund_that_comes_before_the_confirmation_wins(stripe: FakeStripe, payments: StripePayments) -> None:
    go_on = asyncio.Event()
    confirming = stripe.fail("confirm", go_on=go_on)
    charging = asyncio.create_task(charge(payments))
    await confirming.arrived.wait()
    assert await refund(payments) is None
    go_on.set()
    with pytest.raises(OperationCancelled):
        await charging
    assert stripe.taken() == 0


async def test_a_confirmation_that_comes_before_the_void_is_refunded(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    go_on = asyncio.Event()
    cancelling = stripe.fail("cancel", go_on=go_on)
    refunding = asyncio.create_task(refund(payments))
    await cancelling.arrived.wait()
    made = await charge(payments)
    go_on.set()
    refunded = await refunding
    assert refunded is not None
    assert (refunded.charge, stripe.taken()) == (made, 0)


async def test_two_charges_at_once_take_the_money_once(stripe: FakeStripe, payments: StripePayments) -> None:
    go_on = asyncio.Event()
    confirming = stripe.fail("confirm", go_on=go_on)
    first = asyncio.create_task(charge(payments))
    await confirming.arrived.wait()
    second = await charge(payments)
    go_on.set()
    assert await first == second
    assert (stripe.taken(), stripe.confirmations) == (750, 1)


@pytest.mark.parametrize("later", [False, True])
async def test_a_decline_is_for_ever(stripe: FakeStripe, payments: StripePayments, later: bool) -> None:
    with pytest.raises(PaymentDeclined):
        await charge(payments, method="tok_chargeDeclinedInsufficientFunds")
    if later:
        stripe.a_day_later()
    with pytest.raises(PaymentDeclined, match="insufficient_funds"):
        await charge(payments, method="tok_visa", asked_at=yesterday() if later else now())
    assert (stripe.taken(), stripe.confirmations) == (0, 1)


@pytest.mark.parametrize("action", ["confirm", "update", "cancel"])
async def test_a_decline_whose_answer_is_lost_stays_one(
    stripe: FakeStripe, payments: StripePayments, action: str
) -> None:
    stripe.fail(action, lost=True)
    with pytest.raises(ProviderUnavailable):
        await charge(payments, method="tok_chargeDeclinedInsufficientFunds")
    with pytest.raises(PaymentDeclined, match="insufficient_funds"):
        await charge(payments, method="tok_chargeDeclinedInsufficientFunds")
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled"]
    assert stripe.confirmations == 1


@pytest.mark.parametrize("method", ["pm_card_authenticationRequired", "pm_card_threeDSecureRequired"])
async def test_a_bank_that_asks_for_the_customer_declines(payments: StripePayments, method: str) -> None:
    with pytest.raises(PaymentDeclined, match="authentication_required"):
        await charge(payments, method=method)


@pytest.mark.parametrize("method", ["tok_bogus", "pm_bogus"])
async def test_an_unknown_method_is_declined_for_ever(
    stripe: FakeStripe, payments: StripePayments, method: str
) -> None:
    with pytest.raises(PaymentDeclined, match="resource_missing"):
        await charge(payments, method=method)
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled"]


async def test_what_others_charged_on_the_account_is_listed_without_a_key(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    made = await charge(payments)
    stripe.intents[made.transaction_id]["metadata"] = {}
    assert [entry.key async for entry in payments.charges_since(LONG_AGO)] == [None]


async def test_a_token_that_an_unanswered_confirmation_used_up_is_no_decline(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("confirm", status=500, after=True)
    with pytest.raises(ProviderUnavailable):
        await charge(payments, method="tok_once")
    await charge(payments, method="tok_once")
    assert (stripe.taken(), stripe.confirmations) == (750, 1)


async def test_a_token_that_an_earlier_attempt_used_up_for_nothing_is_no_decline(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("confirm", status=500)
    with pytest.raises(ProviderUnavailable):
        await charge(payments, method="tok_once")
    stripe.used_tokens.add("tok_once")
    with pytest.raises(ProviderUnavailable, match="used up"):
        await charge(payments, method="tok_once")
    assert await refund(payments) is None


async def test_a_token_that_was_used_up_while_it_was_confirmed_goes_on_with_its_method(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("confirm", status=500)
    with pytest.raises(ProviderUnavailable):
        await charge(payments, method="tok_once")
    stripe.used_tokens.add("tok_once")
    stripe.methods["pm_1"] = {"id": "pm_1", "object": "payment_method", "metadata": {"method": "tok_once"}}
    [intent] = stripe.intents.values()
    intent.update(status="requires_confirmation", payment_method="pm_1")
    await charge(payments, method="tok_once")
    assert stripe.taken() == 750


async def test_a_token_that_somebody_used_before_is_declined(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.used_tokens.add("tok_once")
    with pytest.raises(PaymentDeclined, match="token_already_used"):
        await charge(payments, method="tok_once")
