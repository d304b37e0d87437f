"""Many orders, one line each."""

from collections.abc import Sequence
from datetime import datetime

from order_cli import sentences
from order_cli.order import Order
from order_cli.terminal import Cell, Terminal, width

_BAR = 6
Row = dict[str, Cell | str]
"""By the heads of its columns."""


def bar(percent: int | None) -> str:
    """`██░░░░  33%`."""
    if percent is None:
        return ""
    full = round(_BAR * percent / 100)
    return f"{'█' * full}{'░' * (_BAR - full)} {percent:3}%"


_LEFT_OUT = ("PROGRESS", "AGE", "TOTAL")
"""Columns that a narrow terminal does without, the first one first: what an order waits for is worth more."""
_LEAST_NEXT = 16
_GAP = 2


def table(orders: Sequence[Order], now: datetime, terminal: Terminal, *, namespaces: bool, wide: bool) -> list[str]:
    """The lines of the table."""
    heads = [
        *(["NAMESPACE"] if namespaces else []),
        *("NAME", "STATUS", "PROGRESS", "TOTAL", "AGE"),
        *(("CLASS", "CUSTOMER", "REQUESTED BY", "DECIDED BY") if wide else ()),
        "NEXT",
    ]
    rows = [_cells(order, now) for order in orders]
    for head in () if wide else _LEFT_OUT:
        if terminal.width is not None and _needed(heads, rows) > terminal.width:
            heads.remove(head)
    return terminal.aligned(heads, [[row[head] for head in heads] for row in rows], right=["TOTAL"])


def _needed(heads: Sequence[str], rows: Sequence[Row]) -> int:
    """Columns of the terminal."""
    widths = [max(width(text) for text in (head, *(_text(row[head]) for row in rows))) for head in heads[:-1]]
    return sum(widths) + _GAP * len(widths) + _LEAST_NEXT


def _text(cell: Cell | str) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def _cells(order: Order, now: datetime) -> Row:
    colour = sentences.style(order)
    return {
        "NAMESPACE": order.namespace,
        "NAME": order.name,
        "STATUS": Cell(order.order_status, colour),
        "PROGRESS": Cell(bar(order.progress), colour),
        "TOTAL": order.total,
        "AGE": sentences.age(order, now),
        "CLASS": order.class_name,
        "CUSTOMER": order.customer,
        "REQUESTED BY": order.requested_by or "",
        "DECIDED BY": str(order.approval.get("by") or ""),
        "NEXT": sentences.next_thing(order, now),
    }
