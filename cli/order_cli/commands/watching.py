"""`kubectl order watch`."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from order_cli import clock, sentences
from order_cli.live import Orders, follow
from order_cli.order import Order
from order_cli.screens import orders as screen
from order_cli.session import Session
from order_cli.vocabulary import ORDERS

_FADES_AFTER = timedelta(seconds=30)


def watch_command(
    context: typer.Context,
    until_finished: Annotated[
        bool, typer.Option("--until-finished", help="End once all orders that are shown have ended.")
    ] = False,
) -> None:
    """Orders that end stay for 30 seconds."""
    session: Session = context.obj
    began = clock.now()

    def lines(orders: Orders) -> list[str]:
        now = clock.now()
        shown = [order for key, order in sorted(orders.items()) if is_shown(order, began, now)]
        table = screen.table(shown, now, session.terminal, namespaces=session.flags.all_namespaces, wide=False)
        # Where each change is a line, the sum of all orders would be most of them. Else it is first: of a long table a
        # screen shows the beginning.
        return [sentences.tally(list(orders.values())), *table] if session.terminal.interactive else table

    def all_finished(orders: Orders) -> bool:
        return until_finished and all(order.finished for order in orders.values())

    follow(session, [ORDERS, *session.kubectl.selection()], lines, all_finished)


def is_shown(order: Order, began: datetime, now: datetime) -> bool:
    """Whether it still moves, or has ended a moment ago; one that had ended before the view began is not shown."""
    if not order.finished:
        return True
    return order.ended is not None and order.ended >= began - _FADES_AFTER and now - order.ended <= _FADES_AFTER
