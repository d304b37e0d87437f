"""How many events of the audit trail were written, by what became of their transactions."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

APPENDED = "audit_events_appended"
"""Key of a connection's `info` under which `audit.append` counts the present transaction's events."""

WRITTEN, ROLLED_BACK = "written", "rolled_back"


class AuditWrites:
    """Filled by the ledger's threads, taken by the metrics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = {WRITTEN: 0, ROLLED_BACK: 0}

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Connection]:
        """As `engine.begin()`; what the block appends to the trail is counted once its end is known."""
        appended = 0
        result = ROLLED_BACK
        try:
            with engine.begin() as connection:
                connection.info[APPENDED] = 0
                try:
                    yield connection
                finally:
                    appended = 0 if connection.invalidated else connection.info[APPENDED]
            result = WRITTEN
        finally:
            if appended:
                with self._lock:
                    self._counted[result] += appended

    def taken(self) -> dict[str, int]:
        """How many since the last time, by result."""
        with self._lock:
            counted, self._counted = self._counted, {WRITTEN: 0, ROLLED_BACK: 0}
        return counted
