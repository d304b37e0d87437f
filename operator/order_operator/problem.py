"""Why an order is not being carried, as its conditions tell it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A reason from `conditions.Reason` and a sentence that says what to do."""

    reason: str
    message: str
    stalled: bool = False
    """True when it takes a person; False when the operator goes on by itself."""
