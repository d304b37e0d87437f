"""Stripe's answers, its memory of a day, and what can come between a request and its answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_stripe import KEY, FakeStripe, serving
from pydantic import JsonValue
from shop import Buyer, Shop, a_line
from sqlalchemy import update

from order_domain.errors import (
    InvalidOrder,
    OperationCancelled,
    OperationConflict,
    PaymentDeclined,
    ProviderUnavailable,
)
from order_process.settings import SettingsError
from order_worker.ledger import tables
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, open_intent
from order_worker.providers.payment import stripe_payments
from order_worker.providers.payment.port import ProviderCharge, ProviderRefund, RefundState
from order_worker.providers.payment.stripe_amounts import from_stripe, to_stripe
from order_worker.providers.payment.stripe_payments import StripePayments
from order_workflows.activities.stock import ValidateLines

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def stripe() -> FakeStripe:
    """The search finds nothing before the next day: every test that does not wait for it relies on the keys alone."""
    fake = FakeStripe()
    fake.search_lags = True
    return fake


@pytest.fixture
async def address(stripe: FakeStripe) -> AsyncIterator[str]:
    async with serving(stripe) as url:
        yield url


@pytest.fixture
async def payments(address: str) -> AsyncIterator[StripePayments]:
    opened = StripePayments.from_environment({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": address})
    yield opened
    await opened.close()


def now() -> datetime:
    return datetime.now(UTC)


def yesterday() -> datetime:
    return now() - timedelta(days=1)


async def charge(
    payments: StripePayments,
    *,
    method: str = "tok_visa",
    amount_minor: int = 750,
    asked_at: datetime | None = None,
    ordered_at: datetime | None = None,
) -> ProviderCharge:
    return await payments.charge(
        "uid/charge",
        amount_minor=amount_minor,
        currency="USD",
        method=method,
        asked_at=asked_at or now(),
        ordered_at=ordered_at,
    )


async def refund(
    payments: StripePayments,
    *,
    key: str = "uid/refund",
    amount_minor: int = 750,
    charged_minor: int = 750,
    transaction_id: str | None = None,
    asked_at: datetime | None = None,
    ordered_at: datetime | None = None,
) -> ProviderRefund | None:
    return await payments.refund(
        key,
        charge_key="uid/charge",
        transaction_id=transaction_id,
        charged_minor=charged_minor,
        amount_minor=amount_minor,
        currency="USD",
        asked_at=asked_at or now(),
        ordered_at=ordered_at,
    )


async def test_a_payment_method_may_be_an_id(stripe: FakeStripe, payments: StripePayments) -> None:
    await charge(payments, method="pm_card_visa")
    assert stripe.taken() == 750


@pytest.mark.parametrize("action", ["create", "confirm"])
@pytest.mark.parametrize("fault", ["lost", "silent"])
async def test_a_charge_whose_answer_never_comes_is_charged_once(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch, action: str, fault: str
) -> None:
    stripe.fail(action, **{fault: True})
    with monkeypatch.context() as hurried:
        hurried.setattr(stripe_payments, "DEADLINE_SECONDS", 0.3)
        with pytest.raises(ProviderUnavailable):
            await charge(payments)
    await charge(payments)
    assert (stripe.taken(), len(stripe.intents)) == (750, 1)


@pytest.mark.parametrize("action", ["create", "confirm"])
@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_a_fault_of_stripe_is_no_decline(
    stripe: FakeStripe, payments: StripePayments, action: str, status: int
) -> None:
    stripe.fail(action, status=status)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_a_charge_goes_through_after_a_fault_of_stripe(
    stripe: FakeStripe, payments: StripePayments, status: int
) -> None:
    stripe.fail("confirm", status=status)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    await charge(payments)
    assert stripe.taken() == 750


async def test_nothing_is_tried_twice_in_one_call(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.fail("create", status=500)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    assert stripe.requests == ["create"]


async def test_a_charge_that_was_just_asked_for_is_not_searched(stripe: FakeStripe, payments: StripePayments) -> None:
    await charge(payments)
    assert stripe.requests == ["create", "confirm"]


async def test_an_intent_whose_creation_ended_in_an_internal_error_is_found_later(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("create", status=500, after=True)
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await charge(payments)
    stripe.searchable.update(stripe.intents)
    await charge(payments)
    assert (stripe.taken(), len(stripe.intents)) == (750, 1)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    nobody = StripePayments.from_environment({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": "http://127.0.0.1:1"})
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await charge(nobody)
    await nobody.close()


async def test_a_charge_of_yesterday_is_not_charged_again(stripe: FakeStripe, payments: StripePayments) -> None:
    first = await charge(payments)
    stripe.a_day_later()
    assert await charge(payments, asked_at=yesterday()) == first
    assert stripe.taken() == 750


async def test_a_charge_of_yesterday_that_is_not_found_is_not_made_now(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    with pytest.raises(OperationConflict, match="uid/charge was first asked for at"):
        await charge(payments, asked_at=yesterday())
    assert stripe.intents == {}


async def test_a_charge_of_yesterday_is_found(stripe: FakeStripe, payments: StripePayments) -> None:
    first = await charge(payments)
    stripe.a_day_later()
    assert await payments.find_charge("uid/charge") == first


async def test_of_two_intents_of_one_key_the_older_counts(stripe: FakeStripe, payments: StripePayments) -> None:
    first = await charge(payments)
    metadata = {"operation_id": "uid/charge"}
    stripe._create(
        {"amount": 750, "currency": "usd", "metadata": metadata, "allowed_payment_method_types": {"0": "card"}}
    )
    stripe.a_day_later()
    assert await charge(payments, asked_at=yesterday()) == first
    assert stripe.taken() == 750


async def test_an_old_order_whose_charge_the_ledger_forgot_is_not_charged_again(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    first = await charge(payments)
    stripe.a_day_later()
    assert await charge(payments, asked_at=now(), ordered_at=yesterday()) == first
    assert (stripe.taken(), len(stripe.intents)) == (750, 1)


async def test_an_old_order_whose_charge_the_ledger_forgot_goes_on_with_what_nobody_confirmed(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("confirm", status=500)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    stripe.a_day_later()
    await charge(payments, ordered_at=yesterday())
    assert (stripe.taken(), len(stripe.intents)) == (750, 1)


async def test_an_old_order_that_was_never_charged_is_charged(stripe: FakeStripe, payments: StripePayments) -> None:
    await charge(payments, ordered_at=yesterday())
    assert (stripe.taken(), stripe.requests) == (750, ["search", "create", "confirm"])


async def test_an_account_without_a_search_has_the_charges_since_an_old_order_began_listed(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    first = await charge(payments)
    stripe.a_day_later()
    stripe.fail("search", status=400)
    assert await charge(payments, ordered_at=LONG_AGO) == first
    assert (stripe.taken(), len(stripe.intents)) == (750, 1)


async def test_an_old_order_is_charged_on_an_account_without_a_search(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("search", status=400)
    await charge(payments, ordered_at=LONG_AGO)
    assert (stripe.taken(), stripe.requests) == (750, ["search", "list", "create", "confirm"])


def made_at(stripe: FakeStripe, at: datetime, *, by_others: bool = True) -> None:
    """The youngest PaymentIntent of all; one of others unless it says otherwise."""
    if by_others:
        stripe._create(
            {"amount": 750, "currency": "usd", "metadata": {}, "allowed_payment_method_types": {"0": "card"}}
        )
    [*_, youngest] = stripe.intents.values()
    youngest["created"] = int(at.timestamp())


async def test_what_the_idempotency_key_finds_is_not_listed(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.no_search, stripe.page = 400, 1
    first = await charge(payments)
    made_at(stripe, now() - timedelta(hours=24, minutes=30), by_others=False)
    for hours in (21, 10, 0):
        made_at(stripe, now() - timedelta(hours=hours))
    stripe.a_day_later()
    assert await charge(payments, ordered_at=now() - timedelta(hours=25)) == first
    assert stripe.requests.count("list") == 1


async def test_what_the_idempotency_key_may_just_still_find_is_listed_too(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.no_search = 400
    first = await charge(payments)
    made_at(stripe, now() - timedelta(hours=22, minutes=30), by_others=False)
    stripe.a_day_later()
    assert await charge(payments, ordered_at=now() - timedelta(hours=25)) == first
    assert len(stripe.intents) == 1


async def test_what_is_younger_than_an_old_key_can_have_made_is_not_listed(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.no_search, stripe.page = 400, 1
    asked_at = now() - timedelta(days=3)
    first = await charge(payments)
    made_at(stripe, asked_at + timedelta(hours=22), by_others=False)
    for hours in (25, 48):
        made_at(stripe, asked_at + timedelta(hours=hours))
    stripe.a_day_later()
    assert await refund(payments, asked_at=asked_at) is not None
    assert (stripe.taken(), stripe.requests.count("list"), first.transaction_id) == (0, 1, "pi_1")


async def listed_by_ones(stripe: FakeStripe, payments: StripePayments, at: datetime) -> ProviderCharge:
    """A charge of `at`, and two of others after it, on an account without a search whose list is read slowly."""
    stripe.no_search, stripe.page = 400, 1
    first = await charge(payments)
    made_at(stripe, at, by_others=False)
    for _ in range(2):
        made_at(stripe, at)
    stripe.a_day_later()
    return first


async def test_a_list_that_is_too_long_for_one_attempt_is_read_on_in_the_next(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_payments, "LISTING_SECONDS", 0)
    first = await listed_by_ones(stripe, payments, now() - timedelta(days=2))
    for number in (1, 2, 3):
        with pytest.raises(ProviderUnavailable, match=f"uid/charge .* read for {number} PaymentIntents"):
            await charge(payments, ordered_at=now() - timedelta(days=3))
    assert await charge(payments, ordered_at=now() - timedelta(days=3)) == first
    assert (stripe.taken(), stripe.requests.count("create")) == (750, 1)


async def test_a_list_that_was_read_in_part_begins_again_once_younger_charges_count(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_payments, "LISTING_SECONDS", 0)
    begun = now() - timedelta(days=3)
    stripe.no_search, stripe.page = 400, 1
    made_at(stripe, begun + timedelta(hours=1))
    with pytest.raises(ProviderUnavailable):
        await charge(payments, ordered_at=begun)
    first = await charge(payments)
    made_at(stripe, now() - timedelta(hours=20, minutes=30), by_others=False)
    stripe.a_day_later()
    monkeypatch.setattr(stripe_payments, "LISTING_SECONDS", 6)
    # As if three hours had gone by.
    monkeypatch.setattr(stripe_payments, "KEYS_ARE_KNOWN", timedelta(hours=20))
    assert await charge(payments, ordered_at=begun) == first
    assert stripe.taken() == 750


@pytest.mark.parametrize("asked_at", [now, yesterday])
async def test_a_charge_that_a_list_is_too_long_for_waits_for_a_person_who_is_told_its_key(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch, asked_at: Callable[[], datetime]
) -> None:
    monkeypatch.setattr(stripe_payments, "LISTED_AT_MOST", 1)
    await listed_by_ones(stripe, payments, yesterday() - timedelta(days=1))
    with pytest.raises(OperationConflict, match="operation_id=uid/charge"):
        await charge(payments, asked_at=asked_at(), ordered_at=LONG_AGO)
    with pytest.raises(OperationConflict, match="operation_id=uid/charge"):
        await refund(payments, asked_at=asked_at(), ordered_at=LONG_AGO)
    assert (stripe.taken(), stripe.requests.count("create")) == (750, 1)


async def test_a_retry_reads_on_in_a_list_that_a_person_was_asked_about(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_payments, "LISTED_AT_MOST", 2)
    asked_at = yesterday() - timedelta(days=1)
    await listed_by_ones(stripe, payments, asked_at)
    with pytest.raises(OperationConflict):
        await refund(payments, asked_at=asked_at)
    assert await refund(payments, asked_at=asked_at) is not None
    assert stripe.taken() == 0


async def test_a_list_of_another_account_is_read_from_its_beginning(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_payments, "LISTING_SECONDS", 0)
    await listed_by_ones(stripe, payments, yesterday())
    with pytest.raises(ProviderUnavailable, match="goes on"):
        await refund(payments, asked_at=yesterday())
    stripe.forget()
    with pytest.raises(ProviderUnavailable, match="the list of the Stripe account of STRIPE_API_KEY"):
        await refund(payments, asked_at=yesterday())
    with pytest.raises(OperationConflict, match="uid/charge was first asked for at"):
        await refund(payments, asked_at=yesterday())


@pytest.mark.parametrize("status", [400, 403])
async def test_a_charge_without_an_answer_is_repeated_on_an_account_without_a_search(
    stripe: FakeStripe, payments: StripePayments, shop: Shop, status: int
) -> None:
    stripe.no_search = status
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await till.buyer()
    stripe.fail("confirm", lost=True)
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(buyer.charge())
    await till.payments.charge(buyer.charge())
    [row] = await till.rows(tables.payments)
    assert (row["captured_minor"], stripe.taken(), len(stripe.intents)) == (750, 750, 1)


@pytest.mark.parametrize("status", [400, 403])
async def test_an_account_without_a_search_that_lists_nothing_does_not_prove_that_nothing_was_taken(
    stripe: FakeStripe, payments: StripePayments, status: int
) -> None:
    stripe.no_search = status
    assert await payments.find_charge("uid/charge") is None
    with pytest.raises(OperationConflict, match="uid/charge was first asked for at"):
        await charge(payments, asked_at=yesterday())
    with pytest.raises(OperationConflict, match="uid/charge was first asked for at"):
        await refund(payments, asked_at=yesterday())
    assert stripe.intents == {}


async def test_an_internal_error_that_is_repeated_is_no_answer_on_an_account_without_a_search(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.no_search = 400
    stripe.fail("create", status=500, after=True)
    for _ in range(2):
        with pytest.raises(ProviderUnavailable, match="Stripe answered 500"):
            await charge(payments)


async def test_an_old_order_is_not_charged_while_the_search_does_not_answer(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("search", status=503)
    with pytest.raises(ProviderUnavailable):
        await charge(payments, ordered_at=yesterday())
    assert stripe.requests == ["search"]


async def test_a_charge_that_the_ledger_forgot_is_refunded_and_none_is_made_void_in_its_place(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    await charge(payments)
    stripe.a_day_later()
    assert await refund(payments, ordered_at=yesterday()) is not None
    assert (stripe.taken(), len(stripe.intents)) == (0, 1)


async def test_a_key_with_quotes_is_found(stripe: FakeStripe, payments: StripePayments) -> None:
    key = 'a"b\\c'
    first = await payments.charge(key, amount_minor=750, currency="USD", method="tok_visa", asked_at=now())
    stripe.a_day_later()
    assert await payments.find_charge(key) == first


async def test_what_nobody_confirmed_is_not_found_as_a_charge(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.fail("confirm", status=500)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    stripe.a_day_later()
    assert await payments.find_charge("uid/charge") is None


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


async def test_an_amount_that_stripe_does_not_take_is_declined(payments: StripePayments) -> None:
    with pytest.raises(PaymentDeclined, match="amount_too_small"):
        await charge(payments, amount_minor=1)


async def test_an_amount_that_stripe_does_not_take_leaves_nothing_to_refund(payments: StripePayments) -> None:
    assert await refund(payments, amount_minor=1, charged_minor=1) is None


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


async def test_what_others_charged_on_the_account_is_listed_without_a_key(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    made = await charge(payments)
    stripe.intents[made.transaction_id]["metadata"] = {}
    assert [entry.key async for entry in payments.charges_since(LONG_AGO)] == [None]


async def test_a_charge_whose_answer_was_lost_yesterday_is_found_and_refunded(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    stripe.fail("confirm", lost=True)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    stripe.a_day_later()
    assert await refund(payments, asked_at=yesterday()) is not None
    assert stripe.taken() == 0


async def test_an_empty_search_after_a_day_proves_nothing(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.fail("confirm", lost=True)
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    stripe.forget()
    with pytest.raises(OperationConflict, match="uid/charge was first asked for at"):
        await refund(payments, asked_at=yesterday())
    assert stripe.intents == {}


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


async def test_a_refused_key_is_named_and_nothing_is_known_to_have_failed(address: str) -> None:
    payments = StripePayments.from_environment({"STRIPE_API_KEY": "sk_wrong", "STRIPE_API_BASE": address})
    with pytest.raises(ProviderUnavailable, match="STRIPE_API_KEY"):
        await charge(payments)
    await payments.close()


async def test_a_rotated_key_counts_at_once(stripe: FakeStripe, address: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    payments = StripePayments.from_environment({"STRIPE_API_KEY_FILE": str(file), "STRIPE_API_BASE": address})
    stripe.keys = {"sk_test_second"}
    with pytest.raises(ProviderUnavailable):
        await charge(payments)
    file.write_text("sk_test_second\n")
    await charge(payments)
    assert stripe.taken() == 750
    await payments.close()


async def test_the_ledger_books_once_what_stripe_took_without_an_answer(
    stripe: FakeStripe, payments: StripePayments, shop: Shop
) -> None:
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await till.buyer()
    stripe.fail("confirm", lost=True)
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(buyer.charge())
    await till.payments.charge(buyer.charge())
    [row] = await till.rows(tables.payments)
    assert (row["captured_minor"], stripe.taken()) == (750, 750)


@pytest.mark.parametrize("known_by", ["the workflow", "the ledger"])
async def test_an_order_that_a_restored_ledger_knows_without_its_charge_is_not_charged_again(
    stripe: FakeStripe, payments: StripePayments, shop: Shop, known_by: str
) -> None:
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await till.buyer()
    request = buyer.charge()
    await payments.charge(request.operation_id, amount_minor=750, currency="USD", method="tok_visa", asked_at=now())
    stripe.a_day_later()
    if known_by == "the workflow":
        request = request.model_copy(update={"ordered_at": yesterday()})
    else:
        await till.ledger.transaction(lambda tx: tx.execute(update(tables.orders).values(created_at=yesterday())))
    stripe.fail("search", status=503)
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(request)
    await till.payments.charge(request)
    assert (stripe.taken(), len(stripe.intents)) == (750, 1)


async def test_an_order_that_a_restored_ledger_knows_without_its_charges_end_is_refunded(
    stripe: FakeStripe, payments: StripePayments, shop: Shop
) -> None:
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await till.buyer()
    request = buyer.charge()
    await payments.charge(request.operation_id, amount_minor=750, currency="USD", method="tok_visa", asked_at=now())
    stripe.a_day_later()
    stripe.fail("create", status=503)
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(request)  # before anybody told it how old the order is
    stripe.a_day_later()
    await till.payments.refund(buyer.refund(ordered_at=yesterday()))
    assert (stripe.taken(), len(stripe.intents)) == (0, 1)


async def test_the_ledger_refunds_what_stripe_took_without_an_answer(
    stripe: FakeStripe, payments: StripePayments, shop: Shop
) -> None:
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await till.buyer()
    stripe.fail("confirm", lost=True)
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(buyer.charge())
    await till.payments.refund(buyer.refund())
    [row] = await till.rows(tables.payments)
    assert (row["captured_minor"], row["refunded_minor"], stripe.taken()) == (750, 750, 0)


async def test_an_order_of_an_amount_that_stripe_cannot_count_is_invalid_before_anything_is_held(
    payments: StripePayments, shop: Shop
) -> None:
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    with pytest.raises(InvalidOrder, match=r"5\.124 KWD"):
        await till.stock.validate(ValidateLines(lines=[a_line("1", 1)], currency="KWD", total_minor=5124))
    await till.stock.validate(ValidateLines(lines=[a_line("1", 1)], currency="KWD", total_minor=5120))
    await till.stock.validate(ValidateLines(lines=[a_line("1", 1)]))


async def of_uneven_parts(shop: Shop) -> Buyer:
    """An order that is to end, of 1.005 KWD and 0.995 KWD: Stripe counts their sum alone."""
    buyer, kwd = Buyer(), {"currency": "KWD"}
    lines = [
        a_line(str(number), 1).model_copy(update={"unit_price_minor": price})
        for number, price in enumerate((1005, 995), start=1)
    ]
    await shop.orders.receive(buyer.receive(*lines, charged=True).model_copy(update=kwd))
    await shop.payments.charge(buyer.charge(amount_minor=2000).model_copy(update=kwd))
    await shop.orders.halt(buyer.halt())
    return buyer


async def test_a_part_of_an_order_is_refunded_in_an_amount_that_stripe_counts(
    payments: StripePayments, shop: Shop, stripe: FakeStripe
) -> None:
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await of_uneven_parts(till)
    await till.payments.refund(buyer.refund(step="refund/kept/1", kept_lines=["1"], amount_minor=1000))
    sold = await till.orders.sell_lines(buyer.sell_lines("1"))
    await till.orders.close(buyer.close())
    assert (sold.total_minor, sold.owed_minor, stripe.taken()) == (1000, 1000, 1000)


async def test_a_refund_that_an_earlier_release_asked_for_in_vain_keeps_no_other_from_being_made(
    payments: StripePayments, shop: Shop, stripe: FakeStripe
) -> None:
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await of_uneven_parts(till)
    params: dict[str, JsonValue] = {"charge": "uid-1/charge", "kept": ["1"]}
    refund = Operation(buyer.identity, "uid-1/refund/kept/1", OperationKind.REFUND, params, {"amountMinor": 995})
    await till.ledger.transaction(lambda tx: open_intent(tx, refund))
    refunded = await till.payments.refund(buyer.refund(amount_minor=2000))
    assert (refunded.total_refunded_minor, stripe.taken()) == (2000, 0)


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        (750, "USD", 750),
        (500, "JPY", 500),
        (5, "ISK", 500),
        (500, "MGA", 5),
        (5120, "KWD", 5120),
        (1045, "HUF", 1045),
    ],
)
def test_amounts_are_what_stripe_counts(minor: int, currency: str, amount: int) -> None:
    assert to_stripe(minor, currency) == amount
    assert from_stripe(amount, currency.lower()) == minor


UNCOUNTABLE = [(550, "MGA"), (5124, "KWD"), (1001, "BHD"), (500, "UGX"), (500, "KPW"), (500, "GHS")]


@pytest.mark.parametrize(("minor", "currency"), UNCOUNTABLE)
async def test_an_amount_that_stripe_cannot_count_is_known_without_asking(
    payments: StripePayments, stripe: FakeStripe, minor: int, currency: str
) -> None:
    sentence = payments.refuse_amount(minor, currency)
    assert sentence is not None
    assert sentence.startswith("Stripe ")
    assert currency in sentence
    assert stripe.requests == []


@pytest.mark.parametrize(("minor", "currency"), [(750, "USD"), (5120, "KWD"), (500, "MGA"), (5, "ISK")])
async def test_an_amount_that_stripe_can_count_is_not_refused(
    payments: StripePayments, minor: int, currency: str
) -> None:
    assert payments.refuse_amount(minor, currency) is None


@pytest.mark.parametrize(("minor", "currency"), UNCOUNTABLE)
def test_an_amount_that_stripe_cannot_count_is_declined(minor: int, currency: str) -> None:
    with pytest.raises(PaymentDeclined, match="invalid_charge_amount"):
        to_stripe(minor, currency)


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({}, "STRIPE_API_KEY"),
        ({"STRIPE_API_KEY": "a", "STRIPE_API_KEY_FILE": "b"}, "STRIPE_API_KEY_FILE"),
        ({"STRIPE_API_KEY_FILE": "/nowhere/key"}, "STRIPE_API_KEY_FILE"),
        ({"STRIPE_API_KEY": "a", "STRIPE_API_BASE": "proxy:8080"}, "STRIPE_API_BASE"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(environment: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        StripePayments.from_environment(environment)
