"""How busy the operator is with writing statuses: what may wait does so while there is more than enough to write."""

import time
from collections.abc import Callable

from order_operator.sliding_window import SlidingWindow

QUIET_WRITES = 8
"""Status writes in a second up to which progress is shown: each costs some 10 ms of CPU, most of it the API server's:
these are a twelfth of a core (docs/decisions/0041-eight-writes-a-second-are-quiet.md). Starts, waits, edits and ends
are written however many there are."""
SECOND = 1.0


class WriteBudget:
    """Counts the writes of the last second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._writes = SlidingWindow(QUIET_WRITES, SECOND, clock)

    def wrote(self) -> None:
        """A status, or a finalizer."""
        self._writes.note()

    @property
    def quiet(self) -> bool:
        """Whether what may wait may be written now."""
        return not self._writes.full
