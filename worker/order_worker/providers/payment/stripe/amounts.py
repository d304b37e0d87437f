"""How Stripe counts money. Source: docs.stripe.com/currencies."""

from fractions import Fraction

from order_domain.errors import PaymentDeclined
from order_domain.money import MINOR_DIGITS, format_amount

NOT_REPRESENTABLE = "invalid_charge_amount"
"""Stripe's own code for an amount that it cannot take."""

SCALE = {"ISK": Fraction(100), "MGA": Fraction(1, 100)}
"""Stripe's amount per minor unit, where the two differ: it takes krónur in hundredths and ariary whole."""
REFUSED = frozenset({"UGX"})
"""Stripe's table of currencies has the Ugandan shilling among those without decimals and among those with two; the
wrong reading would take a hundred times the price."""
NOT_TAKEN = frozenset("BTN CUP ERN GHS IQD IRR KPW LYD MRU SDG SSP STN SYP TMT VED VES".split())
"""Currencies of ISO 4217 that are not in Stripe's table of presentment currencies."""
THREE_DIGITS_STEP = 10
"""The last digit of an amount with three decimals must be 0."""


def refusal(amount_minor: int, currency: str) -> str | None:
    """Why Stripe cannot count this amount, as a sentence; None if it can."""
    amount = amount_minor * SCALE.get(currency, Fraction(1))
    if currency in NOT_TAKEN:
        return f"Stripe takes no payments in {currency}: order in another currency"
    if currency in REFUSED:
        return f"Stripe is not used for amounts in {currency}"
    if MINOR_DIGITS[currency] == 3 and amount % THREE_DIGITS_STEP != 0:
        return f"Stripe takes {currency} with two decimals only, and {format_amount(amount_minor, currency)} has three"
    if amount.denominator != 1:
        return f"Stripe takes whole {currency} only, and {format_amount(amount_minor, currency)} is not"
    return None


def to_stripe(amount_minor: int, currency: str) -> int:
    """The amount as Stripe counts it. Raises PaymentDeclined where it cannot."""
    if refusal(amount_minor, currency):
        raise PaymentDeclined(NOT_REPRESENTABLE)
    return int(amount_minor * SCALE.get(currency, Fraction(1)))


def from_stripe(amount: int, currency: str) -> int:
    """The inverse; `currency` as Stripe writes it."""
    return int(amount / SCALE.get(currency.upper(), Fraction(1)))
