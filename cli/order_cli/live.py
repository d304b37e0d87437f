"""Views that change: a thread reads `kubectl get --watch`; the screen is drawn for each change and each second. Where
the output is no terminal, each changed line is written once."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from order_cli.kubectl import Watch
from order_cli.order import Order
from order_cli.problems import CommandError
from order_cli.session import Session

if TYPE_CHECKING:
    from rich.text import Text

Orders = dict[str, Order]
"""By namespace/name, as last seen."""

_REDRAW_SECONDS = 1.0
_BATCH = 500
"""Changes that are taken at once before the screen is drawn."""
_RECONNECT_SECONDS = 1.0
_PATIENCE = 5
"""So many times in a row the API server may refuse before the view ends."""


class Changes:
    """The changes of a watch, which is begun again when the API server ends it."""

    def __init__(self, session: Session, arguments: Sequence[str], namespace: str | None) -> None:
        self._session, self._arguments, self._namespace = session, arguments, namespace
        self._queue: queue.Queue[tuple[str, Order] | CommandError | None] = queue.Queue()
        self._stopped = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.orders: Orders = {}

    def __enter__(self) -> "Changes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()  # first: the thread sets the watch before it looks at this
        if self._watch is not None:
            self._watch.stop()
        self._thread.join()

    def take(self, seconds: float) -> bool:
        """Take over what has changed, waiting so long for the first change; whether there was any. Raises CommandError
        once the cluster cannot be watched any more."""
        try:
            change = self._queue.get(timeout=seconds)
        except queue.Empty:
            return False
        taken = 1
        while True:
            if isinstance(change, CommandError):
                raise change
            self._apply(change)
            if taken == _BATCH or self._queue.empty():
                return True
            change, taken = self._queue.get_nowait(), taken + 1

    def _apply(self, change: tuple[str, Order] | None) -> None:
        if change is None:  # a new watch begins, with all that there is
            self.orders.clear()
            return
        kind, order = change
        if kind == "DELETED":
            self.orders.pop(order.key, None)
        else:
            self.orders[order.key] = order

    def _read(self) -> None:
        refused = 0
        while not self._stopped.is_set():
            self._queue.put(None)
            try:
                with self._session.kubectl.watch(*self._arguments, namespace=self._namespace) as watch:
                    self._watch = watch
                    if self._stopped.is_set():
                        return
                    for kind, raw in watch:
                        self._queue.put((kind, Order(raw)))
                        refused = 0
            except CommandError as error:
                refused += 1
                if refused >= _PATIENCE or error.code != 1:
                    self._queue.put(error)
                    return
            self._stopped.wait(_RECONNECT_SECONDS)


def follow(
    session: Session,
    arguments: Sequence[str],
    lines: Callable[[Orders], list[str]],
    ended: Callable[[Orders], bool] = lambda _: False,
    *,
    namespace: str | None = None,
) -> None:
    """Show `lines` of the orders that `kubectl get` with these arguments shows, until they have `ended` or the caller
    has seen enough (Ctrl-C)."""
    with Changes(session, arguments, namespace) as changes:
        if session.terminal.interactive:
            _drawn(changes, lines, ended)
        else:
            _written(session, changes, lines, ended)


def picture(lines: Sequence[str]) -> "Text":
    """For rich: lines that are cut where the terminal ends."""
    from rich.text import Text  # noqa: PLC0415 - only live views need it, and it is slow to import

    return Text("\n").join(Text.from_ansi(line, no_wrap=True, overflow="ellipsis") for line in lines)


def _drawn(changes: Changes, lines: Callable[[Orders], list[str]], ended: Callable[[Orders], bool]) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.live import Live  # noqa: PLC0415

    with Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            changes.take(_REDRAW_SECONDS)
            live.update(picture(lines(changes.orders)), refresh=True)
            if changes.orders and ended(changes.orders):
                return


def _written(
    session: Session,
    changes: Changes,
    lines: Callable[[Orders], list[str]],
    ended: Callable[[Orders], bool],
) -> None:
    before: list[str] = []
    while True:
        if not changes.take(_REDRAW_SECONDS):
            continue
        now = lines(changes.orders)
        for line in now:
            if line not in before:
                session.terminal.line(line)
        before = now
        if changes.orders and ended(changes.orders):
            return
