"""How fast a command writes."""

import threading
import time

from order_cli import clock


class Pace:
    """Turns that are at least so far apart, whoever takes them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Returns when it is the caller's turn."""
        with self._lock:
            now = clock.monotonic()
            mine = max(now, self._next)
            self._next = mine + self._seconds
        if mine > now:
            time.sleep(mine - now)
