"""Names that programs rely on, each with its meaning: the generated reference is made of these."""

from enum import StrEnum
from typing import Self


class Explained(StrEnum):
    """An enum whose members say what they mean."""

    meaning: str
    """What the name says of a resource, as a sentence."""
    remedy: str
    """What a person can do, as a sentence; empty where there is nothing to do."""

    def __new__(cls, value: str, meaning: str, remedy: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.remedy = remedy
        return member
