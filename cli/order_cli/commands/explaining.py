"""`kubectl order why`."""

import typer

from order_cli import clock, rights
from order_cli.commands.tracking import Name
from order_cli.order import Order
from order_cli.screens import explanation
from order_cli.session import Session
from order_cli.together import all_three


def why_command(context: typer.Context, name: Name) -> None:
    """One paragraph."""
    session: Session = context.obj
    order = session.order(name)
    if not session.terminal.for_people:
        session.terminal.objects([order.raw], one=True)
        return
    now = clock.now()
    if order.awaits_decision:
        lines = explanation.decision(order, circumstances(session, order), now, session.terminal)
    else:
        lines = explanation.other(order, now, session.terminal)
    for line in lines:
        session.terminal.line(line)


def circumstances(session: Session, order: Order) -> explanation.Circumstances:
    """All asked at once."""
    kubectl, verb = session.kubectl, rights.needed(order)
    (me, allowed), classes, holders = all_three(
        lambda: rights.me_and_allowed(kubectl, [(order.namespace, verb, order.name)]),
        lambda: rights.classes_by_name(kubectl),
        lambda: rights.holders(kubectl, order.namespace, verb),
    )
    return explanation.Circumstances(
        me=me,
        policy=rights.approval_policy(classes, order),
        holders=holders,
        allowed=allowed[order.namespace, verb, order.name],
        verb=verb,
    )
