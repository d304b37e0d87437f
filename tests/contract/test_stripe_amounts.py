"""Amounts as Stripe counts them, and those that it cannot take."""

from dataclasses import replace

import pytest
from fake_stripe import FakeStripe
from pydantic import JsonValue
from shop import Buyer, Shop, a_line
from stripe_requests import charge, refund

from order_domain.errors import InvalidOrder, PaymentDeclined
from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.operations import Operation, open_intent
from order_worker.providers.payment.stripe.amounts import from_stripe, to_stripe
from order_worker.providers.payment.stripe.payments import StripePayments
from order_workflows.activities.stock import ValidateLines


async def test_an_amount_that_stripe_does_not_take_is_declined(payments: StripePayments) -> None:
    with pytest.raises(PaymentDeclined, match="amount_too_small"):
        await charge(payments, amount_minor=1)


async def test_an_amount_that_stripe_does_not_take_leaves_nothing_to_refund(payments: StripePayments) -> None:
    assert await refund(payments, amount_minor=1, charged_minor=1) is None


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
