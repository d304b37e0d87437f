import pytest
from pydantic import BaseModel, ValidationError

from order_domain.judgement import judge
from order_domain.money import Currency, format_amount


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (75_000, "USD", "750.00 USD"),
        (5, "USD", "0.05 USD"),
        (0, "USD", "0.00 USD"),
        (100, "JPY", "100 JPY"),
        (1_500, "KWD", "1.500 KWD"),
        (-5, "USD", "-0.05 USD"),
        (-123_456, "USD", "-1234.56 USD"),
        (-100, "JPY", "-100 JPY"),
    ],
)
def test_an_amount_is_written_with_the_digits_of_its_currency(minor: int, currency: str, text: str) -> None:
    assert format_amount(minor, currency) == text


class Price(BaseModel):
    currency: Currency


def test_the_digits_of_a_currency_that_nobody_knows_are_not_guessed() -> None:
    assert format_amount(750, "XYZ") == "750 minor units of XYZ"


def test_an_unknown_currency_is_refused_with_its_code_and_an_example() -> None:
    with pytest.raises(ValidationError, match="unknown currency 'USDT': use an ISO 4217 code such as USD"):
        judge(Price, {"currency": "USDT"})


def test_a_currency_code_in_small_letters_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown currency 'usd'"):
        judge(Price, {"currency": "usd"})
