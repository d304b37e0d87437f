"""Card numbers, which have no place in an order: whoever stores one is bound by the rules of the card companies."""

import re

SEPARATORS = " ._-"
"""What people write between the groups of digits."""
DIGITS = range(13, 20)
"""How many a card number has. Source: ISO/IEC 7812."""
PATTERN = rf"^[{SEPARATORS}]*(?:[0-9][{SEPARATORS}]*){{{DIGITS[0]},{DIGITS[-1]}}}$"
"""As many digits, whatever their sum says. RE2, as the API server reads it."""

_LIKE_A_CARD = re.compile(PATTERN)


def is_card_number(text: str) -> bool:
    """Whether the text is digits that keep the check of ISO/IEC 7812 (Luhn's), with separators or without."""
    if not _LIKE_A_CARD.fullmatch(text):
        return False
    digits = [int(character) for character in reversed(text) if character not in SEPARATORS]
    weighted = (digit * (1 + place % 2) for place, digit in enumerate(digits))
    return sum(number - 9 if number > 9 else number for number in weighted) % 10 == 0
