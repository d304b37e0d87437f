"""What is said of an order in a few words."""

from collections.abc import Sequence
from datetime import datetime

from order_cli import clock
from order_cli.order import Order, visible
from order_cli.vocabulary import (
    BAD_PHASES,
    COMPLETED,
    MANUAL_REVIEW,
    STALLED,
    SUSPENDED,
    TERMINAL_PHASES,
)

_AGAIN = "; to order again, delete it and apply it again"
_WAITS_FOR = {"Approve": "approval", "ChangeAddress": "an address", "Restock": "stock", "Resume": "a repair"}


def next_thing(order: Order, now: datetime) -> str:
    """What it waits for and how long, or why it failed: the column NEXT."""
    if order.finished:
        first = f"{order.phase.lower()}: "
        return order.message.removeprefix(first).replace(_AGAIN, "")
    if order.phase == SUSPENDED:
        return "held, until it is resumed"
    if order.pending and order.phase != MANUAL_REVIEW:
        what = _WAITS_FOR.get(str(order.pending.get("kind")), visible(order.pending.get("message", "")))
        return f"{what}{left(order, now)}"
    if step := order.retrying:
        tried = f"attempt {step.get('attempts', 1)}: {visible(step['lastError'])}"
        return f"{tried}{next_try(step.get('nextAttemptAt'), now)}"
    return order.message


def left(order: Order, now: datetime) -> str:
    """`, 3m48s left`; empty where it waits for ever."""
    deadline = order.deadline
    if deadline is None:
        return ""
    seconds = (deadline - now).total_seconds()
    return f", {clock.short(seconds)} left" if seconds > 0 else ", its time is over"


def next_try(at: str | None, now: datetime) -> str:
    """`, next try in 4s`."""
    when = clock.parse(at)
    if when is None:
        return ", is tried again"
    seconds = (when - now).total_seconds()
    return f", next try in {clock.short(seconds)}" if seconds >= 1 else ", is tried again now"


def age(order: Order, now: datetime) -> str:
    """Since its creation."""
    return clock.short((now - order.created).total_seconds()) if order.created else "-"


def style(order: Order) -> str:
    """The colour of its phase."""
    if order.phase == COMPLETED:
        return "good"
    if order.phase in BAD_PHASES or order.holds(STALLED):
        return "bad"
    if order.phase in TERMINAL_PHASES:
        return "dim"
    return "waits" if order.needs_person or order.phase == SUSPENDED else "busy"


def tally(orders: Sequence[Order]) -> str:
    """`4 orders: 1 waits for a person, 1 being undone, 1 stuck`."""
    waits = sum(order.awaits_decision or order.phase == MANUAL_REVIEW for order in orders)
    undone = sum(order.undoing for order in orders)
    stuck = sum(order.holds(STALLED) and not order.finished and order.phase != MANUAL_REVIEW for order in orders)
    failed = sum(order.finished and order.phase in BAD_PHASES for order in orders)
    parts = [
        f"{waits} {'waits' if waits == 1 else 'wait'} for a person" if waits else "",
        f"{undone} being undone" if undone else "",
        f"{stuck} stuck" if stuck else "",
        f"{failed} failed" if failed else "",
    ]
    told = ", ".join(filter(None, parts))
    return f"{len(orders)} {'order' if len(orders) == 1 else 'orders'}{f': {told}' if told else ''}"
