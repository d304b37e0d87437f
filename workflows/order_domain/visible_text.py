"""Text that names a person or a place: whoever reads it sees all of it.

The patterns are RE2, which the API server and pydantic read alike; `compiled` makes Python read them too.
"""

import re

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_SPACES = r"\x20\xa0\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}"
_JOINERS = r"\x{200c}\x{200d}"
_VARIANTS = r"\x{180b}-\x{180d}\x{180f}\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}"
"""Choose another form of the character before them: of an emoji, or of a rare letter in a Japanese name."""
_INVISIBLE = (
    r"\xad\x{34f}\x{61c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180e}\x{200b}\x{200e}\x{200f}\x{2028}-\x{202e}"
    r"\x{2060}-\x{206f}\x{2800}\x{3164}\x{fdd0}-\x{fdef}\x{feff}\x{ffa0}\x{fff0}-\x{fffc}\x{fffe}\x{ffff}"
    r"\x{1bca0}-\x{1bca3}\x{1d173}-\x{1d17a}\x{e0000}-\x{e00ff}\x{e01f0}-\x{e0fff}"
)
"""Of no width, without a glyph, or turning the direction of what follows. Source: Default_Ignorable_Code_Point,
Bidi_Control and Noncharacter_Code_Point of Unicode 16, and the two blanks U+2800 and U+3164."""
_WESTERN = r"\x00-\x{5ff}"
"""Latin, Greek, Cyrillic, Armenian and Hebrew. A joiner changes nothing that is seen there; it would only make one name
pass for another. In Arabic, in scripts of India and in emoji it is how things are written."""

NO_GLYPHS = _CONTROLS + _SPACES + _JOINERS + _VARIANTS + _INVISIBLE
"""For a class of characters: all that shows nothing by itself."""

HIDDEN = (
    rf"[{_CONTROLS}{_INVISIBLE}]|(?:^|[{_WESTERN}{_SPACES}{_JOINERS}])[{_JOINERS}]"
    rf"|[{_JOINERS}](?:$|[{_WESTERN}{_SPACES}{_VARIANTS}])"
)
"""What text may not have: characters that cannot be seen, and joiners that join nothing."""

SHOWN = f"[^{_SPACES}{_JOINERS}{_VARIANTS}]"
"""What text without any of these has to have: a character that can be seen."""

VISIBLE_TEXT_NEEDED = (
    "must be text that can be seen: no control, zero-width or direction character, and not only spaces"
)


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the API server's kind, for Python."""
    return re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: f"\\U{found[1]:0>8}", pattern).replace("$", r"\Z"))


_SHOWN, _HIDDEN = compiled(SHOWN), compiled(HIDDEN)


def is_visible(text: str) -> bool:
    """Whether the text shows something, and all that it holds."""
    return bool(_SHOWN.search(text)) and not _HIDDEN.search(text)


def visible(text: str) -> str:
    """The same text. Raises ValueError if it is not visible."""
    if not is_visible(text):
        raise ValueError(VISIBLE_TEXT_NEEDED)
    return text


def visible_or_empty(text: str) -> str:
    """The same for text that may also be left empty."""
    return text and visible(text)
