"""`kubectl order top`: a live board."""

from collections import Counter
from datetime import datetime, timedelta

import typer

from order_cli import clock
from order_cli.live import Orders, follow
from order_cli.order import Order
from order_cli.session import Session
from order_cli.terminal import Cell
from order_cli.vocabulary import BAD_PHASES, COMPLETED, MANUAL_REVIEW, ORDERS, STALLED, STATUSES

_MINUTE = timedelta(minutes=1)
_MINUTES_SHOWN = 10
_LEVELS = "▁▂▃▄▅▆▇█"


def top_command(context: typer.Context) -> None:
    """How many orders are where, the oldest of each, and how many ended in each of the last ten minutes."""
    session: Session = context.obj
    follow(session, [ORDERS, *session.kubectl.selection()], lambda orders: board(session, orders, clock.now()))


def board(session: Session, orders: Orders, now: datetime) -> list[str]:
    """The lines of the screen."""
    everybody = list(orders.values())
    lines = [session.terminal.plain(_summary(everybody, now))]
    under_way = [order for order in everybody if not order.finished]
    counted = Counter(order.order_status for order in under_way)
    rows: list[list[Cell | str]] = []
    for status in [*STATUSES, "-"]:
        if counted[status]:
            oldest = max((_age(order, now) for order in under_way if order.order_status == status), default=0.0)
            name = status if status != "-" else "not yet started"
            rows.append([name, str(counted[status]), clock.short(oldest)])
    if rows:
        lines += session.terminal.aligned(["STATUS", "N", "OLDEST"], rows, right=["N", "OLDEST"])
    return lines


def _summary(orders: list[Order], now: datetime) -> str:
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
    return "   ".join(parts)


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
