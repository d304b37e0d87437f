"""One refund per key at Stripe: lost answers, refunds that fail or wait, those by hand, and charges that are known."""

import asyncio

import pytest
from fake_stripe import KEY, FakeStripe, serving
from stripe_requests import LONG_AGO, charge, refund, yesterday

from order_domain.errors import OperationConflict, ProviderUnavailable
from order_worker.providers.payment.port import RefundState
from order_worker.providers.payment.stripe.payments import StripePayments


async def test_a_refund_whose_answer_is_lost_is_made_once(stripe: FakeStripe, payments: StripePayments) -> None:
    await charge(payments)
    stripe.fail("refund", lost=True)
    with pytest.raises(ProviderUnavailable):
        await refund(payments)
    refunded = await refund(payments)
    assert refunded is not None
    assert [refunded.refund_id] == list(stripe.refunds)


async def test_two_refunds_at_once_give_back_once(stripe: FakeStripe, payments: StripePayments) -> None:
    await charge(payments)
    go_on = asyncio.Event()
    refunding = stripe.fail("refund", go_on=go_on)
    first = asyncio.create_task(refund(payments))
    await refunding.arrived.wait()
    second = await refund(payments)
    go_on.set()
    assert await first == second
    assert stripe.taken() == 0


async def test_two_partial_refunds_of_one_key_at_once_give_back_once(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    made = await charge(payments)
    go_on = asyncio.Event()
    refunding = stripe.fail("refund", go_on=go_on)
    first = asyncio.create_task(refund(payments, amount_minor=200, transaction_id=made.transaction_id))
    await refunding.arrived.wait()
    second = await refund(payments, amount_minor=200, transaction_id=made.transaction_id)
    go_on.set()
    assert await first == second
    assert stripe.taken() == 550


@pytest.mark.parametrize("after", [False, True])
async def test_a_refund_that_ended_in_an_internal_error_is_made_once(
    stripe: FakeStripe, payments: StripePayments, after: bool
) -> None:
    await charge(payments)
    stripe.fail("refund", status=500, after=after)
    with pytest.raises(ProviderUnavailable):
        await refund(payments, amount_minor=200)
    await refund(payments, amount_minor=200)
    assert stripe.taken() == 550


async def test_what_was_refunded_by_hand_is_not_given_back_twice(stripe: FakeStripe, payments: StripePayments) -> None:
    made = await charge(payments)
    by_hand = stripe._refund({"payment_intent": made.transaction_id, "amount": "200"})
    with pytest.raises(OperationConflict, match=f"given back before as {by_hand['id']}"):
        await refund(payments)
    assert stripe.taken() == 550


async def test_a_refund_by_hand_counts_once_it_carries_the_key(stripe: FakeStripe, payments: StripePayments) -> None:
    made = await charge(payments)
    by_hand = stripe._refund({"payment_intent": made.transaction_id})
    by_hand["metadata"] = {"operation_id": "uid/refund"}
    refunded = await refund(payments)
    assert refunded is not None
    assert (refunded.refund_id, stripe.taken()) == (by_hand["id"], 0)


@pytest.mark.parametrize("status", ["failed", "canceled"])
async def test_a_refund_that_failed_is_named_and_not_taken_for_one(
    stripe: FakeStripe, payments: StripePayments, status: str
) -> None:
    await charge(payments)
    first = await refund(payments)
    assert first is not None
    stripe.refunds[first.refund_id].update(status=status, failure_reason="expired_or_canceled_card")
    with pytest.raises(OperationConflict, match=rf"{first.refund_id}, and is {status} now: expired_or_canceled_card"):
        await refund(payments)
    assert await payments.refund_state(first.refund_id) is RefundState.FAILED


async def test_after_a_refund_that_failed_another_key_gives_the_money_back(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    await charge(payments)
    first = await refund(payments)
    assert first is not None
    stripe.refunds[first.refund_id].update(status="failed", failure_reason="unknown")
    assert await refund(payments, key="uid/refund/2") is not None
    assert stripe.taken() == 0


@pytest.mark.parametrize("status", ["pending", "requires_action"])
async def test_a_refund_that_is_pending_says_so_until_it_ends(
    stripe: FakeStripe, payments: StripePayments, status: str
) -> None:
    await charge(payments)
    stripe.refunds_begin = status
    refunded = await refund(payments)
    assert refunded is not None
    assert refunded.pending
    assert await payments.refund_state(refunded.refund_id) is RefundState.PENDING
    [entry] = [entry async for entry in payments.charges_since(LONG_AGO)]
    assert entry.pending_refunds == (refunded.refund_id,)
    stripe.refunds[refunded.refund_id]["status"] = "succeeded"
    assert await payments.refund_state(refunded.refund_id) is RefundState.SUCCEEDED
    again = await refund(payments)
    assert again is not None
    assert not again.pending


async def test_a_known_transaction_is_looked_up_and_never_searched(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    made = await charge(payments)
    stripe.requests.clear()
    await refund(payments, transaction_id=made.transaction_id, asked_at=yesterday())
    assert stripe.requests == ["look", "refunds", "refund"]


async def test_the_transaction_of_another_account_is_a_conflict_that_names_the_key(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    made = await charge(payments)
    async with serving(FakeStripe()) as other:
        elsewhere = StripePayments.from_environment({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": other})
        with pytest.raises(OperationConflict, match=rf"7\.50 USD as {made.transaction_id}.*STRIPE_API_KEY"):
            await refund(elsewhere, transaction_id=made.transaction_id)
        await elsewhere.close()
    assert stripe.taken() == 750


async def test_a_transaction_that_took_nothing_is_a_conflict(stripe: FakeStripe, payments: StripePayments) -> None:
    assert await refund(payments) is None
    [void] = stripe.intents
    with pytest.raises(OperationConflict, match="took nothing, it is canceled"):
        await refund(payments, transaction_id=void)
