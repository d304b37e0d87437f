"""Card numbers are known by their digits alone."""

import pytest

from order_domain.card_number import is_card_number


@pytest.mark.parametrize(
    "text",
    [
        "4222222222222",
        "378282246310005",
        "4242424242424242",
        "6304000000000000000",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        " 4242_4242.4242 4242 ",
    ],
)
def test_digits_that_keep_the_check_are_a_card_number(text: str) -> None:
    assert is_card_number(text)


@pytest.mark.parametrize(
    "text",
    ["", "tok_visa", "4242424242424241", "424242424242", "63040000000000000000", "tok_4242424242424242", "٤٢٤٢" * 4],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_card_number(text)
