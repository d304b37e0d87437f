"""How busy the operator is with writing statuses: what may wait does so while there is more than enough to write."""

import time
from collections import deque
from collections.abc import Callable

QUIET_WRITES = 20
"""Status writes in a second up to which progress is shown: each costs the API server 6 ms of CPU, so that these are an
eighth of a core. Starts, waits, edits and ends are written however many there are."""
SECOND = 1.0


class WriteBudget:
    """Counts the writes of the last second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._writes: deque[float] = deque(maxlen=QUIET_WRITES)

    def wrote(self) -> None:
        """A status, or a finalizer."""
        self._writes.append(self._clock())

    @property
    def quiet(self) -> bool:
        """Whether what may wait may be written now."""
        return len(self._writes) < QUIET_WRITES or self._writes[0] <= self._clock() - SECOND
