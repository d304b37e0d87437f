"""Views that change: a thread reads `kubectl get --watch`; the screen is drawn for each change, key and second.
Where the output is no terminal, each changed line is written once."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from order_cli.keys import Keys
from order_cli.kubectl import Watch
from order_cli.order import Order
from order_cli.problems import CommandError, ExitCode, KindMissing, NotFound
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
"""So many times in a row a cluster that was never reached may refuse before the view ends."""


class Changes:
    """The changes of a watch, which is begun again when the API server ends it. While that does not answer, `orders`
    stay as they were seen last, and `problem` says why they may be old."""

    def __init__(
        self, session: Session, arguments: Sequence[str], namespace: str | None, *, patient: bool = False
    ) -> None:
        """`patient`: the cluster answered a moment ago, and is waited for."""
        self._patient = patient
        self._session, self._arguments, self._namespace = session, arguments, namespace
        self._queue: queue.Queue[tuple[str, Order] | Orders | str | CommandError | None] = queue.Queue()
        self._stopped = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.orders: Orders = {}
        self.problem = ""

    def __enter__(self) -> "Changes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()  # first: the thread sets the watch before it looks at this
        if self._watch is not None:
            self._watch.stop()
        self._thread.join()

    def wake(self) -> None:
        """Let `take` return; from any thread."""
        self._queue.put(None)

    def take(self, seconds: float) -> bool:
        """Take over what has changed, waiting so long for the first change; whether there was any. Raises CommandError
        where the cluster cannot be watched."""
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

    def _apply(self, change: tuple[str, Order] | Orders | str | None) -> None:
        if change is None:
            return
        if isinstance(change, str):
            self.problem = change
            return
        self.problem = ""
        if isinstance(change, dict):
            self.orders = change
            return
        kind, order = change
        if kind == "DELETED":
            self.orders.pop(order.key, None)
        else:
            self.orders[order.key] = order

    def _read(self) -> None:
        reached, refused = False, 0
        while not self._stopped.is_set():
            try:
                if reached:  # what is gone since, no watch tells
                    self._queue.put(self._listed())
                with self._session.kubectl.watch(*self._arguments, namespace=self._namespace) as watch:
                    self._watch = watch
                    if self._stopped.is_set():
                        return
                    for kind, raw in watch:
                        self._queue.put((kind, Order(raw)))
                        reached = True
            except CommandError as error:
                refused += 1
                if self._is_final(error, reached=reached, refused=refused):
                    self._queue.put(error)
                    return
                self._queue.put(str(error))
            self._stopped.wait(_RECONNECT_SECONDS)

    def _is_final(self, error: CommandError, *, reached: bool, refused: int) -> bool:
        """An API server that starts knows neither kinds nor rights for a moment."""
        if isinstance(error, KindMissing) and (reached or self._patient):
            return False
        if reached:
            return isinstance(error, NotFound)
        return error.code != ExitCode.ERROR or not (self._patient or refused < _PATIENCE)

    def _listed(self) -> Orders:
        found = self._session.kubectl.json("get", *self._arguments, namespace=self._namespace)
        orders = map(Order, found.get("items", []) if found.get("kind", "").endswith("List") else [found])
        return {order.key: order for order in orders}


def follow(
    session: Session,
    arguments: Sequence[str],
    lines: Callable[[Orders], list[str]],
    ended: Callable[[Orders], bool] = lambda _: False,
    *,
    namespace: str | None = None,
    pressed: Callable[[str], bool] | None = None,
) -> None:
    """Show `lines` of the orders that `kubectl get` with these arguments shows, until they have `ended` or the caller
    has seen enough (Ctrl-C). `pressed` is told each key on a terminal, and says whether to leave."""
    with Changes(session, arguments, namespace) as changes:
        if session.terminal.interactive:
            _drawn(session, changes, lines, ended, pressed)
        else:
            _written(session, changes, lines, ended)


def picture(lines: Sequence[str]) -> "Text":
    """For rich: lines that are cut where the terminal ends."""
    from rich.text import Text  # noqa: PLC0415 - only live views need it, and it is slow to import

    return Text("\n", no_wrap=True, overflow="ellipsis").join(Text.from_ansi(line) for line in lines)


def _drawn(
    session: Session,
    changes: Changes,
    lines: Callable[[Orders], list[str]],
    ended: Callable[[Orders], bool],
    pressed: Callable[[str], bool] | None,
) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.live import Live  # noqa: PLC0415

    view = Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="ellipsis")
    with Keys(changes.wake if pressed else None) as keys, view as live:
        while True:
            changes.take(_REDRAW_SECONDS)
            if pressed and any(pressed(key) for key in keys.taken()):
                return
            live.update(picture([*_problem(session, changes), *lines(changes.orders)]), refresh=True)
            if changes.orders and ended(changes.orders):
                return


def _problem(session: Session, changes: Changes) -> list[str]:
    if not changes.problem:
        return []
    return [session.terminal.paint(f"! what is shown may be old: {changes.problem}", "bad")]


def _written(
    session: Session,
    changes: Changes,
    lines: Callable[[Orders], list[str]],
    ended: Callable[[Orders], bool],
) -> None:
    before: list[str] = []
    told = ""
    while True:
        if not changes.take(_REDRAW_SECONDS):
            continue
        if changes.problem and changes.problem != told:
            session.terminal.aside(f"! {changes.problem}; it is tried again")
        told = changes.problem
        now = lines(changes.orders)
        for line in now:
            if line not in before:
                session.terminal.line(line)
        before = now
        if changes.orders and ended(changes.orders):
            return
