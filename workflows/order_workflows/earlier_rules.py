"""How orders judge signals that began before `contract.REVISION` 4. A replay judges each signal again: one that was
followed then has to be followed now, and one that was dropped is dropped."""

from typing import Annotated

from pydantic import StringConstraints

from order_domain.judgement import Judged, rule
from order_domain.order import NO_CONTROL_CHARACTERS
from order_domain.value import Value

_Text = Annotated[str, Judged(StringConstraints(max_length=100, pattern=NO_CONTROL_CHARACTERS))]
_RequiredText = Annotated[str, Judged(StringConstraints(min_length=1, max_length=100, pattern=NO_CONTROL_CHARACTERS))]


class EarlierAddress(Value):
    """An address as it was judged then: any two letters were a country, and each country had postal codes."""

    name: _RequiredText
    line1: _RequiredText
    line2: _Text | None = None
    city: _RequiredText
    postal_code: (
        Annotated[str, Judged(StringConstraints(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9 -]+$"))] | None
    )
    country: Annotated[str, Judged(StringConstraints(pattern=r"^[A-Z]{2}$", min_length=2, max_length=2))]

    @rule
    def _has_a_postal_code(self) -> None:
        if self.postal_code is None:
            raise ValueError("postalCode: is needed")
