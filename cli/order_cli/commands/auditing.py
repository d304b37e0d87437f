"""`kubectl order audit`: who did what to an order, and when, as its status and its Events tell."""

import csv
import sys

import typer

from order_cli.commands.events import EVENTS, Event
from order_cli.commands.tracking import Name
from order_cli.order import Order
from order_cli.problems import NotAllowed
from order_cli.screens.timeline import timeline
from order_cli.session import Session

_HEADS = ("TIME", "WHO", "VIA", "WHAT", "DETAIL")


def audit_command(context: typer.Context, name: Name) -> None:
    """The ledger's own trail, which nobody can rewrite unseen, is read by `order-worker audit`."""
    session: Session = context.obj
    order = session.order(name)
    if session.terminal.format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([head.lower() for head in _HEADS])
        writer.writerows([entry.when.isoformat(), *entry[1:]] for entry in timeline(order, _events(session, order)))
        return
    if not session.terminal.for_people:
        session.terminal.objects([order.raw], one=True)
        return
    rows = [
        [session.terminal.time(entry.when, "%H:%M:%S.%f")[:-3], *entry[1:]]
        for entry in timeline(order, _events(session, order))
    ]
    session.terminal.table(_HEADS, rows)
    session.terminal.note(
        "from status and Events; the ledger's chained trail: order-worker audit NAMESPACE/NAME", "dim"
    )


def _events(session: Session, order: Order) -> list[Event]:
    try:
        found = session.kubectl.json(
            "get", EVENTS, f"--field-selector=regarding.name={order.name}", namespace=order.namespace
        )
    except NotAllowed as refusal:
        session.terminal.aside(f"without Events: {refusal}")
        return []
    return [event for event in found.get("items", []) if event.get("regarding", {}).get("uid") == order.uid]
