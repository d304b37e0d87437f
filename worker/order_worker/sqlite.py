"""How every SQLite file of the worker is opened."""

import sqlite3
import time

BUSY_MILLISECONDS = 5000
"""How long a transaction waits for the writer of another process before the step is tried again later."""


def prepare(connection: sqlite3.Connection) -> None:
    """Readers never wait, writers wait for each other, foreign keys hold; transactions begin where we say so. What is
    committed is on the disk: with less than FULL a power loss takes the last transactions back, intents among them, and
    a charge whose intent is gone looks as if it had never been. It costs 0.4 ms per transaction on an SSD."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # Two processes that open a new file at once: SQLite answers "locked" to one of them without any waiting.
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
