"""One PaymentIntent per key: what Stripe remembers for a day, what its search finds, and the list where it has none."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from fake_stripe import FakeStripe
from stripe_requests import LONG_AGO, charge, now, refund, yesterday

from order_domain.errors import OperationConflict, ProviderUnavailable
from order_worker.providers.payment.port import ProviderCharge
from order_worker.providers.payment.stripe import intent_lookup
from order_worker.providers.payment.stripe.payments import StripePayments


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
    monkeypatch.setattr(intent_lookup, "LISTING_SECONDS", 0)
    first = await listed_by_ones(stripe, payments, now() - timedelta(days=2))
    for number in (1, 2, 3):
        with pytest.raises(ProviderUnavailable, match=f"uid/charge .* read for {number} PaymentIntents"):
            await charge(payments, ordered_at=now() - timedelta(days=3))
    assert await charge(payments, ordered_at=now() - timedelta(days=3)) == first
    assert (stripe.taken(), stripe.requests.count("create")) == (750, 1)


async def test_a_list_that_was_read_in_part_begins_again_once_younger_charges_count(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent_lookup, "LISTING_SECONDS", 0)
    begun = now() - timedelta(days=3)
    stripe.no_search, stripe.page = 400, 1
    made_at(stripe, begun + timedelta(hours=1))
    with pytest.raises(ProviderUnavailable):
        await charge(payments, ordered_at=begun)
    first = await charge(payments)
    made_at(stripe, now() - timedelta(hours=20, minutes=30), by_others=False)
    stripe.a_day_later()
    monkeypatch.setattr(intent_lookup, "LISTING_SECONDS", 6)
    # As if three hours had gone by.
    monkeypatch.setattr(intent_lookup, "KEYS_ARE_KNOWN", timedelta(hours=20))
    assert await charge(payments, ordered_at=begun) == first
    assert stripe.taken() == 750


@pytest.mark.parametrize("asked_at", [now, yesterday])
async def test_a_charge_that_a_list_is_too_long_for_waits_for_a_person_who_is_told_its_key(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch, asked_at: Callable[[], datetime]
) -> None:
    monkeypatch.setattr(intent_lookup, "LISTED_AT_MOST", 1)
    await listed_by_ones(stripe, payments, yesterday() - timedelta(days=1))
    with pytest.raises(OperationConflict, match="operation_id=uid/charge"):
        await charge(payments, asked_at=asked_at(), ordered_at=LONG_AGO)
    with pytest.raises(OperationConflict, match="operation_id=uid/charge"):
        await refund(payments, asked_at=asked_at(), ordered_at=LONG_AGO)
    assert (stripe.taken(), stripe.requests.count("create")) == (750, 1)


async def test_a_retry_reads_on_in_a_list_that_a_person_was_asked_about(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent_lookup, "LISTED_AT_MOST", 2)
    asked_at = yesterday() - timedelta(days=1)
    await listed_by_ones(stripe, payments, asked_at)
    with pytest.raises(OperationConflict):
        await refund(payments, asked_at=asked_at)
    assert await refund(payments, asked_at=asked_at) is not None
    assert stripe.taken() == 0


async def test_a_list_of_another_account_is_read_from_its_beginning(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent_lookup, "LISTING_SECONDS", 0)
    await listed_by_ones(stripe, payments, yesterday())
    with pytest.raises(ProviderUnavailable, match="goes on"):
        await refund(payments, asked_at=yesterday())
    stripe.forget()
    with pytest.raises(ProviderUnavailable, match="the list of the Stripe account of STRIPE_API_KEY"):
        await refund(payments, asked_at=yesterday())
    with pytest.raises(OperationConflict, match="uid/charge was first asked for at"):
        await refund(payments, asked_at=yesterday())


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
