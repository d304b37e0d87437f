"""A database that is away is asked by one caller at a time; all others learn at once that it is away.

Without this, each of many orders that ask for their end while the database is away would wait for a connection of its
own, and hold a workflow task meanwhile: nobody else would be heard.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from order_domain.errors import LedgerUnavailable

PAUSE_SECONDS = 1.0
"""After a failed attempt to connect, before the next one."""


class CircuitBreaker:
    """Wrap each attempt to connect in `attempt`. Safe to use from many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._away = False
        self._next_attempt = 0.0
        self._probing = False

    @contextmanager
    def attempt(self) -> Iterator["Attempt"]:
        """Raises LedgerUnavailable at once while the database is known to be away and another caller finds out whether
        it still is. The block calls `connected` as soon as it has a connection; if it raises before that, the database
        is away."""
        probes = self._enter()
        made = Attempt(self)
        try:
            yield made
        finally:
            if not made.is_connected:
                self._failed()
            if probes:
                with self._lock:
                    self._probing = False

    def _enter(self) -> bool:
        """Whether this caller is the one that finds out."""
        with self._lock:
            if not self._away:
                return False
            if self._probing or self._clock() < self._next_attempt:
                raise LedgerUnavailable("the ledger does not answer: no connection could be made a moment ago")
            self._probing = True
            return True

    def _failed(self) -> None:
        with self._lock:
            self._away, self._next_attempt = True, self._clock() + PAUSE_SECONDS

    def _succeeded(self) -> None:
        with self._lock:
            self._away = False


class Attempt:
    """One attempt to connect."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self.is_connected = False

    def connected(self) -> None:
        """There is a connection; what happens from here on says nothing about the next one."""
        if not self.is_connected:
            self.is_connected = True
            self._breaker._succeeded()
