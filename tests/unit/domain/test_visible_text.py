"""What names a person or a place can be seen, whatever script it is written in."""

import sys
import unicodedata

import pytest

from order_domain.visible_text import visible, visible_or_empty


@pytest.mark.parametrize(
    "text",
    [
        "Ana",
        " Ana ",
        "𠮷野\u3000太郎 😀",
        "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
        "👩\u200d❤\ufe0f\u200d👨",
        "葛\U000e0100城",
        "e\u0301",
        "O'Brien & Sons",
    ],
)
def test_text_that_people_write_is_accepted_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u3000",
        "\u200b",
        "a\u200bb",
        "a\u200db",
        "太\u200d",
        "\u202eanA",
        "Ana\n",
        "a\x85b",
        "\ufe0f",
        "\u3164",
        "\u2800",
    ],
)
def test_text_that_shows_nothing_or_hides_something_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="text that can be seen"):
        visible(text)


def test_no_control_or_format_character_that_is_known_passes_between_letters() -> None:
    # Format characters that have a glyph of their own: signs before numbers and over words in Arabic and Syriac, and
    # those that join hieroglyphs.
    shown = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
    passed = set()
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"):
            try:
                visible(f"a{character}b")
            except ValueError:
                continue
            passed.add(point)

    assert passed <= shown


def test_text_that_may_be_empty_may_not_be_blank() -> None:
    assert visible_or_empty("") == ""
    with pytest.raises(ValueError, match="text that can be seen"):
        visible_or_empty(" ")
