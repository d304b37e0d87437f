"""`kubectl order get` and `kubectl order track`."""

from typing import Annotated

import typer

from order_cli import clock
from order_cli.live import follow
from order_cli.order import Order
from order_cli.screens.tracker import tracker
from order_cli.session import Session
from order_cli.vocabulary import ORDERS

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the order, or namespace/name.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")]


def get_command(context: typer.Context, name: Name, watch: Watch = False) -> None:
    """One screen."""
    session: Session = context.obj
    order = session.order(name)
    if not session.terminal.for_people:
        session.terminal.objects([order.raw], one=True)
        return
    if not watch or order.finished:
        for line in tracker(order, clock.now(), session.terminal):
            session.terminal.line(line)
        return
    _to_the_end(session, order)


track_command = get_command


def _to_the_end(session: Session, order: Order) -> None:
    def lines(orders: dict[str, Order]) -> list[str]:
        return tracker(orders.get(order.key, order), clock.now(), session.terminal)

    def ended(orders: dict[str, Order]) -> bool:
        return orders.get(order.key, order).finished

    follow(session, [ORDERS, order.name], lines, ended, namespace=order.namespace)
