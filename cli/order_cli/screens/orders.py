"""Many orders, one line each."""

from collections.abc import Sequence
from datetime import datetime

from order_cli import sentences
from order_cli.order import Order
from order_cli.terminal import Cell, Terminal

_BAR = 6


def bar(percent: int | None) -> str:
    """`██░░░░  33%`."""
    if percent is None:
        return ""
    full = round(_BAR * percent / 100)
    return f"{'█' * full}{'░' * (_BAR - full)} {percent:3}%"


def table(orders: Sequence[Order], now: datetime, terminal: Terminal, *, namespaces: bool, wide: bool) -> list[str]:
    """The lines of the table."""
    heads = [
        *(["NAMESPACE"] if namespaces else []),
        *("NAME", "STATUS", "PROGRESS", "TOTAL", "AGE"),
        *(("CLASS", "CUSTOMER", "REQUESTED BY", "DECIDED BY") if wide else ()),
        "NEXT",
    ]
    rows = [_row(order, now, namespaces=namespaces, wide=wide) for order in orders]
    return terminal.aligned(heads, rows, right=["TOTAL"])


def _row(order: Order, now: datetime, *, namespaces: bool, wide: bool) -> list[Cell | str]:
    colour = sentences.style(order)
    cells: list[Cell | str] = [order.namespace] if namespaces else []
    cells += [
        order.name,
        Cell(order.order_status, colour),
        Cell(bar(order.progress), colour),
        order.total,
        sentences.age(order, now),
    ]
    if wide:
        decided = order.approval.get("by") or ""
        cells += [order.class_name, order.customer, order.requested_by or "", str(decided)]
    return [*cells, sentences.next_thing(order, now)]
