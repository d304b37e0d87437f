"""How many pages are followed at a time. Each is a connection that stays open, and is told of every change."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from order_console.identity import Caller

MAX_OF_ONE = 20
"""Of one person: browsers follow the pages that are in front alone."""
MAX_OF_ALL = 500


class Streams:
    """Those that are open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, caller: Caller) -> Iterator[str]:
        """Counts it as long as it is open. Gives what keeps it from being opened; empty: nothing does."""
        if self._open.total() >= MAX_OF_ALL:
            yield f"{MAX_OF_ALL} pages are followed at this console: this one is not, load it again to see changes"
            return
        if not caller.reads_only and self._open[caller.name] >= MAX_OF_ONE:
            yield f"you follow {MAX_OF_ONE} pages: this one is not followed until you close another"
            return
        self._open[caller.name] += 1
        try:
            yield ""
        finally:
            self._open[caller.name] -= 1
            if not self._open[caller.name]:
                del self._open[caller.name]
