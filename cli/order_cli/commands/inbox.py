"""`kubectl order inbox`: orders that wait for the caller."""

from typing import Annotated

import typer

from order_cli import clock, rights
from order_cli.live import Orders, follow
from order_cli.order import Order
from order_cli.session import Session
from order_cli.together import both
from order_cli.vocabulary import ORDERS, WAITING

_WAITING = f"status.phase={WAITING}"
"""Also in order_cli.main, which begins this call early."""


def inbox_command(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing them.")] = False,
) -> None:
    """Oldest first: those whose decision you may make, and that you neither ordered nor edited under four eyes."""
    session: Session = context.obj
    found, classes = both(lambda: session.orders(_WAITING), lambda: rights.classes_by_name(session.kubectl))
    desk = Desk(session, found, classes)
    if watch:
        follow(session, [ORDERS, *session.kubectl.selection(_WAITING)], lambda orders: _lines(session, desk, orders))
        return
    mine = desk.mine(found)
    if not session.terminal.for_people:
        session.terminal.objects([order.raw for order in mine])
        return
    if not mine:
        where = "" if session.flags.all_namespaces else " in this namespace; -A looks in all"
        session.terminal.aside(f"no order waits for {desk.me}{where}")
        return
    for line in _table(session, mine):
        session.terminal.line(line)
    waits = "order waits" if len(mine) == 1 else "orders wait"
    hint = 'approve with: kubectl order approve NAME --reason "…"'
    session.terminal.note(f"{len(mine)} {waits} for you. Oldest first; {hint}", "dim")


class Desk:
    """What the caller may decide; access reviews are asked once for each namespace and verb."""

    def __init__(self, session: Session, found: list[Order], classes: dict[str, dict[str, object]]) -> None:
        """`found`: orders that will be asked about, so that who the caller is and what they may are one question."""
        self._session, self._classes = session, classes
        asked = {_right(order) for order in found if order.awaits_decision}
        self.me, allowed = rights.me_and_allowed(session.kubectl, asked)
        self._known: dict[rights.Right, bool] = dict(allowed)

    def mine(self, found: list[Order]) -> list[Order]:
        """Those that wait for the caller, oldest first."""
        open_ones = [order for order in found if order.awaits_decision and not self._barred(order)]
        unknown = {_right(order) for order in open_ones} - self._known.keys()
        self._known.update(rights.allowed(self._session.kubectl, unknown))
        return sorted((order for order in open_ones if self._known[_right(order)]), key=_age)

    def _barred(self, order: Order) -> bool:
        return rights.four_eyes(self._classes, order) and rights.own(order, self.me) is not None


def _right(order: Order) -> rights.Right:
    return order.namespace, rights.needed(order), ""


def _age(order: Order) -> tuple[str, str]:
    return str(order.waiting_since or order.created), order.key


def _lines(session: Session, desk: Desk, orders: Orders) -> list[str]:
    mine = desk.mine(list(orders.values()))
    return _table(session, mine) if mine else ["nothing waits for you"]


def _table(session: Session, mine: list[Order]) -> list[str]:
    now, everywhere = clock.now(), session.flags.all_namespaces
    heads = [*(["NAMESPACE"] if everywhere else []), "NAME", "CUSTOMER", "TOTAL", "REQUESTED BY", "WAITS", "LEFT"]
    rows = []
    for order in mine:
        waited = clock.short((now - order.waiting_since).total_seconds()) if order.waiting_since else "-"
        left = clock.short((order.deadline - now).total_seconds()) if order.deadline else "-"
        cells = [order.name, order.customer, order.total, order.requested_by or "-", waited, left]
        rows.append([order.namespace, *cells] if everywhere else cells)
    return session.terminal.aligned(heads, rows, right=["TOTAL", "WAITS", "LEFT"])
