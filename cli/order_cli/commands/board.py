"""`kubectl order top`: a live board."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import typer

from order_cli import clock, rights
from order_cli.commands.inbox import Desk
from order_cli.live import Orders, follow
from order_cli.order import Order
from order_cli.problems import CommandError
from order_cli.session import Session
from order_cli.terminal import Cell
from order_cli.vocabulary import BAD_PHASES, COMPLETED, MANUAL_REVIEW, ORDERS, STALLED, STATUSES

_MINUTE = timedelta(minutes=1)
_MINUTES_SHOWN = 10
_LEVELS = "▁▂▃▄▅▆▇█"
_NOT_STARTED = "-"
_ENTER, _ESCAPE, _BACKSPACE = "\n", "\x1b", ("\x7f", "\b")


@dataclass
class Row:
    """One status that orders are at."""

    status: str
    number: int
    oldest: float
    """Seconds."""


_SORTS: dict[str, Callable[[Row], tuple[float, ...]]] = {
    "status": lambda row: (_place(row.status),),
    "number": lambda row: (-row.number, _place(row.status)),
    "oldest": lambda row: (-row.oldest, _place(row.status)),
}
_SHOWN: dict[str, Callable[[Order], bool]] = {
    "all": lambda _: True,
    "waiting": lambda order: order.needs_person,
    "in trouble": lambda order: order.undoing or order.phase == MANUAL_REVIEW or order.holds(STALLED),
}


@dataclass
class View:
    """What the person at the board has chosen by its keys."""

    sort: str = "status"
    shown: str = "all"
    text: str = ""
    """Of a name, a namespace, a customer or a class."""
    typing: bool = False

    def press(self, key: str) -> bool:
        """Whether to leave the board."""
        if self.typing:
            self._type(key)
        elif key == "s":
            self.sort = _after(self.sort, list(_SORTS))
        elif key == "f":
            self.shown = _after(self.shown, list(_SHOWN))
        elif key == "/":
            self.text, self.typing = "", True
        elif key == _ESCAPE:
            self.text, self.shown = "", "all"
        return key == "q" and not self.typing

    def _type(self, key: str) -> None:
        if key in (_ENTER, "\r"):
            self.typing = False
        elif key == _ESCAPE:
            self.text, self.typing = "", False
        elif key in _BACKSPACE:
            self.text = self.text[:-1]
        elif key.isprintable():
            self.text += key

    def takes(self, order: Order) -> bool:
        """Whether the order is counted."""
        said = f"{order.key}\n{order.customer}\n{order.class_name}".lower()
        return _SHOWN[self.shown](order) and self.text.lower() in said

    def told(self) -> str:
        """The line below the board."""
        text = f"{self.text}_ (Enter, Esc)" if self.typing else self.text or "none"
        return f"q leave · s sort: {self.sort} · f show: {self.shown} · / text: {text}"


def top_command(context: typer.Context) -> None:
    """How many orders are where, the oldest of each, and how many ended in each of the last ten minutes. On a terminal
    the keys q, s, f and / leave, sort, and show fewer."""
    session: Session = context.obj
    view, mine = View(), _for_me(session)

    def lines(orders: Orders) -> list[str]:
        counted = [order for order in orders.values() if view.takes(order)]
        return board(session, orders, clock.now(), view, mine(counted))

    follow(session, [ORDERS, *session.kubectl.selection()], lines, pressed=view.press)


def _for_me(session: Session) -> Callable[[list[Order]], int | None]:
    """Counts what waits for the caller; None while that is not known."""
    known: list[Desk] = []

    def count(orders: list[Order]) -> int | None:
        try:
            if not known:
                known.append(Desk(session, orders, rights.classes_by_name(session.kubectl)))
            return len(known[0].mine(orders))
        except CommandError:  # the board goes on
            return None

    return count


def board(
    session: Session, orders: Orders, now: datetime, view: View | None = None, mine: int | None = None
) -> list[str]:
    """The lines of the screen."""
    view = view or View()
    everybody = [order for order in orders.values() if view.takes(order)]
    lines = [session.terminal.plain(line) for line in _lines(_summary(everybody, now, mine), session.terminal.width)]
    rows = _rows([order for order in everybody if not order.finished], now)
    if rows:
        cells: list[list[Cell | str]] = [
            [row.status if row.status != _NOT_STARTED else "not yet started", str(row.number), clock.short(row.oldest)]
            for row in sorted(rows, key=_SORTS[view.sort])
        ]
        lines += session.terminal.aligned(["STATUS", "N", "OLDEST"], cells, right=["N", "OLDEST"])
    if session.terminal.takes_keys:
        lines.append(session.terminal.paint(session.terminal.plain(view.told()), "dim"))
    return lines


def _rows(under_way: Sequence[Order], now: datetime) -> list[Row]:
    rows: dict[str, Row] = {}
    for order in under_way:
        row = rows.setdefault(order.order_status, Row(order.order_status, 0, 0.0))
        row.number += 1
        row.oldest = max(row.oldest, _age(order, now))
    return list(rows.values())


def _place(status: str) -> float:
    """Of a status on an order's way; last what is not known."""
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def _after(word: str, words: list[str]) -> str:
    return words[(words.index(word) + 1) % len(words)]


def _lines(parts: Sequence[str], columns: int | None) -> list[str]:
    """As few as have room for them."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}   {part}" if lines[-1] else part
        if columns is None or len(longer) <= columns:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _summary(orders: list[Order], now: datetime, mine: int | None) -> list[str]:
    waiting = [order for order in orders if order.awaits_decision or order.phase == MANUAL_REVIEW]
    oldest = max((_age(order, now) for order in waiting), default=0.0)
    ended = [order for order in orders if order.ended is not None and now - order.ended <= _MINUTE]
    done = sum(order.phase == COMPLETED for order in ended)
    failed = sum(order.phase in BAD_PHASES for order in ended)
    parts = [
        f"orders {len(orders)}",
        f"running {sum(not order.finished and not order.pending for order in orders)}",
        f"waiting {len(waiting)}{f' (oldest {clock.short(oldest)})' if waiting else ''}",
        f"undoing {sum(order.undoing for order in orders)}",
        f"stuck {sum(order.holds(STALLED) and not order.finished for order in orders)}",
        f"done/min {done}",
        f"failed/min {failed}",
        f"last 10 min {_spark(orders, now)}",
    ]
    if mine is not None:
        parts.insert(3, f"for you {mine}")
    return parts


def _spark(orders: list[Order], now: datetime) -> str:
    """Orders that ended in each minute, the newest at the right."""
    counts = [0] * _MINUTES_SHOWN
    for order in orders:
        if order.ended is not None and timedelta() <= now - order.ended < _MINUTE * _MINUTES_SHOWN:
            counts[-1 - int((now - order.ended) / _MINUTE)] += 1
    highest = max(counts)
    return "".join(_LEVELS[round(7 * count / highest)] if highest else _LEVELS[0] for count in counts)


def _age(order: Order, now: datetime) -> float:
    since = order.waiting_since or order.created
    return (now - since).total_seconds() if since else 0.0
