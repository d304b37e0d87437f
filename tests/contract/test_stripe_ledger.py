"""A charge whose answer was lost, or that a restored ledger forgot: ledger and Stripe agree on it in the end."""

from dataclasses import replace

import pytest
from fake_stripe import FakeStripe
from shop import Buyer, Shop
from sqlalchemy import update
from stripe_requests import now, yesterday

from order_domain.errors import ProviderUnavailable
from order_worker.ledger import tables
from order_worker.providers.payment.stripe.payments import StripePayments


async def charged_without_an_answer(stripe: FakeStripe, payments: StripePayments, shop: Shop) -> tuple[Shop, Buyer]:
    """A shop that charges by Stripe, and somebody whom it has charged without hearing of it."""
    till = Shop(shop.ledger, replace(shop.providers, payments=payments))
    buyer = await till.buyer()
    stripe.fail("confirm", lost=True)
    with pytest.raises(ProviderUnavailable):
        await till.payments.charge(buyer.charge())
    return till, buyer


@pytest.mark.parametrize("status", [400, 403])
async def test_a_charge_without_an_answer_is_repeated_on_an_account_without_a_search(
    stripe: FakeStripe, payments: StripePayments, shop: Shop, status: int
) -> None:
    stripe.no_search = status
    till, buyer = await charged_without_an_answer(stripe, payments, shop)
    await till.payments.charge(buyer.charge())
    [row] = await till.rows(tables.payments)
    assert (row["captured_minor"], stripe.taken(), len(stripe.intents)) == (750, 750, 1)


async def test_the_ledger_books_once_what_stripe_took_without_an_answer(
    stripe: FakeStripe, payments: StripePayments, shop: Shop
) -> None:
    till, buyer = await charged_without_an_answer(stripe, payments, shop)
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
    till, buyer = await charged_without_an_answer(stripe, payments, shop)
    await till.payments.refund(buyer.refund())
    [row] = await till.rows(tables.payments)
    assert (row["captured_minor"], row["refunded_minor"], stripe.taken()) == (750, 750, 0)
