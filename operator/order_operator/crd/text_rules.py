"""How the API server holds the forms of text that the models name with `order_domain.judgement.Form`.

As CEL and not as `pattern`: the answer then says what is wanted. The operator and the workflow judge by the same
patterns, in Python; tests/integration/test_judged_alike.py holds both to one verdict.
"""

from dataclasses import dataclass

from order_domain import card_number, visible_text
from order_domain.country import COUNTRIES, MISTAKEN, UNKNOWN_COUNTRY, is_meant
from order_domain.order import (
    CARD_NUMBER,
    EMAIL,
    EMAIL_NEEDED,
    PAYMENT_METHOD,
    PAYMENT_METHOD_NEEDED,
    PHONE,
    PHONE_NEEDED,
    POSTAL_CODE,
    POSTAL_CODE_NEEDED,
)


@dataclass(frozen=True)
class TextRule:
    """One CEL rule about a string, which is `self`."""

    rule: str
    message: str


def _matches(pattern: str, text: str = "self") -> str:
    assert "'" not in pattern
    return f"{text}.matches(r'{pattern}')"


_VISIBLE = f"{_matches(visible_text.SHOWN)} && !{_matches(visible_text.HIDDEN)}"

TEXT_RULES = {
    "visible-text": (TextRule(_VISIBLE, visible_text.VISIBLE_TEXT_NEEDED),),
    "visible-text-or-empty": (TextRule(f"self == '' || {_VISIBLE}", visible_text.VISIBLE_TEXT_NEEDED),),
    "mail-address": (TextRule(_matches(EMAIL), EMAIL_NEEDED),),
    "postal-code": (TextRule(_matches(POSTAL_CODE), POSTAL_CODE_NEEDED),),
    "phone": (TextRule(_matches(PHONE), PHONE_NEEDED),),
    "country": (
        *(TextRule(f"self != '{code}'", is_meant(code)) for code in MISTAKEN),
        TextRule(f"self in {sorted([*COUNTRIES, *MISTAKEN])}", UNKNOWN_COUNTRY),
    ),
    "payment-token": (),
}
"""By the name of the form. That of a token is held by `TOKEN_RULES`."""

_DIGITS = "self.method" + "".join(f".replace('{separator}', '')" for separator in card_number.SEPARATORS)
_PLACES = list(range(card_number.DIGITS[-1]))
_FROM_THE_RIGHT = "int(d.substring(d.size() - 1 - i, d.size() - i))"
_LUHN_SUM = f"{_PLACES}.filter(i, i < d.size()).map(i, {_FROM_THE_RIGHT} * (1 + i % 2)).map(n, n > 9 ? n - 9 : n).sum()"

TOKEN_RULES = (
    TextRule(
        f"!{_matches(card_number.PATTERN, 'self.method')} || [{_DIGITS}].exists(d, {_LUHN_SUM} % 10 != 0)", CARD_NUMBER
    ),
    TextRule(_matches(PAYMENT_METHOD, "self.method"), PAYMENT_METHOD_NEEDED),
)
"""About an object with the field `method`: of a rule about the text itself the API server's answer, and so its log,
repeats the text."""
