"""`kubectl order cancel`."""

import typer

from order_cli import money, rights
from order_cli.commands.deciding import Reason
from order_cli.order import Order
from order_cli.problems import CommandError, NotAllowed
from order_cli.screens.order_line import summary
from order_cli.session import Session
from order_cli.together import both
from order_cli.vocabulary import CANCEL
from order_cli.writing import Expect, Names, Step, Timeout, Yes, after, ask_first, carry_out, chosen, confirm, show


def cancel_command(
    context: typer.Context,
    names: Names = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    timeout: Timeout = 30.0,
) -> int:
    """Money that was taken is given back; of an order that was charged you are asked for its name as well."""
    session: Session = context.obj
    ask_first(session, yes)
    orders, me = both(
        lambda: chosen(session, names, lambda order: not order.finished), lambda: rights.me(session.kubectl)
    )
    for order in orders:
        if order.finished:
            raise CommandError(f"{order.name} has ended as {order.phase}: there is nothing to cancel")
    _must_be_allowed(session, orders, me)
    for order in orders:
        show(session, summary(order))
        show(session, f"  {_consequence(order)}")
    wanted = confirm(session, orders, f"Cancel as {me}?", yes=yes, expect=expect)
    if not (wanted and _twice(session, orders, yes=yes)):
        session.terminal.aside("nothing was done")
        return CommandError.code
    body = {"by": me, **({"reason": reason} if reason else {})}
    steps = [Step(order, {"spec": {"cancellation": body}}) for order in orders]
    return carry_out(session, steps, _done, CANCEL, timeout)


def _done(order: Order, seconds: float) -> str:
    return f"{order.name}: taken by the workflow {after(seconds)}: now {order.order_status}"


def _consequence(order: Order) -> str:
    if not order.captured:
        return "nothing was charged yet"
    refund = money.amount(order.captured, order.currency)
    return f"{refund} is given back, unless parcels have left that cannot be called back"


def _twice(session: Session, orders: list[Order], *, yes: bool) -> bool:
    """Of a single order that was charged; of many their number was asked for."""
    if yes or session.flags.dry_run or len(orders) > 1 or not orders[0].captured:
        return True
    return session.answer(f"Money goes back. Type {orders[0].name} to go on: ") == orders[0].name


def _must_be_allowed(session: Session, orders: list[Order], me: str) -> None:
    allowed = rights.allowed(session.kubectl, ((order.namespace, CANCEL, order.name) for order in orders))
    for order in orders:
        if not allowed[order.namespace, CANCEL, order.name]:
            ask = rights.whom_to_ask(session.kubectl, order, CANCEL, [me])
            raise NotAllowed(
                f"{me} may not cancel {order.name}: that takes the verb {CANCEL} in {order.namespace}. {ask}"
            )
