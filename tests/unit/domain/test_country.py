"""Countries are those of ISO 3166-1."""

import pytest

from order_domain.country import COUNTRIES, MISTAKEN, country


def test_all_officially_assigned_codes_are_known_and_no_other() -> None:
    assert len(COUNTRIES) == 249
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in COUNTRIES)
    assert country("GB") == "GB"
    with pytest.raises(ValueError, match="ISO 3166-1"):
        country("ZZ")


@pytest.mark.parametrize(("mistaken", "meant"), MISTAKEN.items())
def test_a_code_that_people_mistake_is_answered_with_the_one_that_is_meant(mistaken: str, meant: str) -> None:
    assert mistaken not in COUNTRIES
    assert meant in COUNTRIES
    with pytest.raises(ValueError, match=f"{meant} is meant"):
        country(mistaken)
