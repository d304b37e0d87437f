"""A change of lines on its way into force."""

from order_domain.snapshot import ErrorRecord
from order_workflows.contract import LinesChange


class WantedLines:
    """A change of lines that waits for the order to come to a point where it can be made."""

    def __init__(self, change: LinesChange) -> None:
        self.change = change
        self.under_way = False
        self.settled = False
        self.refusal: ErrorRecord | None = None

    def settle(self, refusal: ErrorRecord | None = None) -> None:
        """The change is in force, or refused."""
        self.settled, self.refusal = True, refusal
