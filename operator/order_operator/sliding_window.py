"""How often something has happened of late."""

import time
from collections import deque
from collections.abc import Callable


class SlidingWindow:
    """Remembers the last `limit` times, no more."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._times: deque[float] = deque(maxlen=limit)

    def note(self) -> None:
        """It happened now."""
        self._times.append(self._clock())

    @property
    def full(self) -> bool:
        """Whether it has happened `limit` times within the last `seconds`."""
        return len(self._times) == self._times.maxlen and self._times[0] > self._clock() - self._seconds
