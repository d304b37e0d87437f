"""The ledger and the providers' store, stopped before and after each of their transactions.

An attempt of an activity is a coroutine that hands over at every such boundary. Whoever drives it decides there: go on,
lose the answer, let the worker die, or leave the attempt hanging and let it go on much later. Nothing else of the two
is changed, and nothing runs on another thread, so that one seed is one course of events.
"""

import sqlite3
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from order_domain.errors import LedgerUnavailable, OrderError, ProviderUnavailable, TransientError
from order_worker.ledger.database import Ledger
from order_worker.providers.store import ProviderStore, _connect

T = TypeVar("T")


@dataclass(frozen=True)
class Boundary:
    """Awaited before a transaction and after it."""

    unavailable: type[TransientError]
    """What the attempt sees if there is no answer."""

    def __await__(self) -> Generator["Boundary", None, None]:
        """Hands over to the driver of the attempt."""
        yield self


LEDGER = Boundary(LedgerUnavailable)
PROVIDER = Boundary(ProviderUnavailable)


class SteppedLedger(Ledger):
    """Lost before the transaction: nothing is written. Lost after it: written, and nobody told."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.name = engine.dialect.name

    async def transaction(self, work: Callable[[Connection], T | OrderError]) -> T:
        """On this thread."""
        await LEDGER
        result = self.run(work)
        await LEDGER
        if isinstance(result, OrderError):
            raise result
        return result

    def run(self, work: Callable[[Connection], T | OrderError]) -> T | OrderError:
        """The same without boundaries."""
        return self._run(work)


class SteppedStore(ProviderStore):
    """The same for what the simulated providers keep."""

    def __init__(self, path: Path) -> None:
        super().__init__(_connect(path), ThreadPoolExecutor(1))

    async def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """On this thread."""
        await PROVIDER
        result = self._run(work)
        await PROVIDER
        return result

    def read(self, queries: Sequence[str]) -> list[list[sqlite3.Row]]:
        """The providers' own log."""
        return [self._connection.execute(query).fetchall() for query in queries]

    def forget(self) -> None:
        """Empty all tables."""
        [names] = self.read(["SELECT name FROM sqlite_schema WHERE type = 'table'"])
        self._connection.execute("PRAGMA foreign_keys=OFF")
        for (name,) in names:
            self._connection.execute(f"DELETE FROM {name}")  # noqa: S608
        self._connection.execute("PRAGMA foreign_keys=ON")

    def disconnect(self) -> None:
        """Close the file."""
        self._connection.close()


@dataclass(frozen=True)
class Ended:
    """How an attempt ended."""

    value: Any = None
    error: OrderError | None = None


class Attempt:
    """One attempt of an activity, somewhere between two boundaries."""

    def __init__(self, coroutine: Coroutine[Boundary, None, Any]) -> None:
        self._coroutine = coroutine
        self._boundary = LEDGER

    def finish(self) -> Ended:
        """Go on to the end."""
        while True:
            ended = self.advance(1)
            if ended is not None:
                return ended

    def advance(self, boundaries: int) -> Ended | None:
        """Go on for so many boundaries; None if the attempt is not at its end then."""
        for _ in range(boundaries):
            ended = self._drive(lambda: self._coroutine.send(None))
            if ended is not None:
                return ended
        return None

    def lose(self) -> Ended:
        """What was asked for at this boundary gets no answer."""
        ended = self._drive(lambda: self._coroutine.throw(self._boundary.unavailable("no answer")))
        return ended or self.finish()

    def die(self) -> None:
        """The worker is gone; what it wrote stays."""
        self._coroutine.close()

    def _drive(self, push: Callable[[], Boundary]) -> Ended | None:
        try:
            self._boundary = push()
        except StopIteration as stop:
            return Ended(value=stop.value)
        except OrderError as error:
            return Ended(error=error)
        return None
