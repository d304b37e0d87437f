"""Amounts as people read and write them."""

from decimal import Decimal, InvalidOperation

from order_cli.vocabulary import NO_DIGITS, THREE_DIGITS


def digits(currency: str) -> int:
    """After the point."""
    return 0 if currency in NO_DIGITS else 3 if currency in THREE_DIGITS else 2


def number(minor: int, currency: str) -> str:
    """`(75000, "USD")` -> `750.00`."""
    after = digits(currency)
    sign, whole = "-" if minor < 0 else "", abs(minor)
    return f"{sign}{whole // 10**after}.{whole % 10**after:0{after}d}" if after else f"{sign}{whole}"


def amount(minor: int, currency: str) -> str:
    """`(75000, "USD")` -> `750.00 USD`."""
    return f"{number(minor, currency)} {currency}"


def minor(text: str, currency: str) -> int:
    """`("750.00", "USD")` -> 75000. Raises ValueError where the currency has no such amount."""
    try:
        value = Decimal(text).scaleb(digits(currency))
    except InvalidOperation:
        raise ValueError(f"{text} is no amount") from None
    if not value.is_finite() or value != value.to_integral_value():
        raise ValueError(f"{text} has more digits than {currency} has")
    return int(value)
