"""`kubectl order address`."""

import typer

from order_cli import addresses, rights
from order_cli.commands.tracking import Name
from order_cli.order import Order, visible
from order_cli.problems import CommandError, UsageError
from order_cli.session import Session
from order_cli.together import both
from order_cli.writing import Step, Timeout, Yes, after, ask_first, carry_out, confirm, show


def address_command(
    context: typer.Context,
    name: Name,
    recipient: addresses.Recipient = None,
    company: addresses.Company = None,
    line1: addresses.Line1 = None,
    line2: addresses.Line2 = None,
    city: addresses.City = None,
    state: addresses.State = None,
    postal_code: addresses.PostalCode = None,
    country: addresses.Country = None,
    phone: addresses.Phone = None,
    yes: Yes = False,
    timeout: Timeout = 30.0,
) -> int:
    """Fields that are not named stay; an empty text takes one away. Possible until the order is shipped."""
    session: Session = context.obj
    changes = addresses.given(
        name=recipient, company=company, line1=line1, line2=line2, city=city, state=state, postalCode=postal_code,
        country=country, phone=phone,
    )  # fmt: skip
    if not changes:
        raise UsageError("nothing to change: name a field, for example --city")
    ask_first(session, yes)
    order, me = both(lambda: session.order(name), lambda: rights.me(session.kubectl))
    if order.finished:
        raise CommandError(f"{order.name} has ended as {order.phase}: its address is fixed")
    before = order.spec.get("shippingAddress", {})
    for field, value in changes.items():
        show(session, f"  {field}: {visible(before.get(field) or '-')} → {visible(value or '-')}")
    if not confirm(session, [order], f"Change the address of {order.key} as {me}?", yes=yes, expect=None):
        session.terminal.aside("nothing was done")
        return CommandError.code
    patch = {"spec": {"shippingAddress": changes, "editedBy": me}}
    return carry_out(session, [Step(order, patch)], _done, "change the address of", timeout)


def _done(order: Order, seconds: float) -> str:
    return f"{order.name} goes to {order.destination}, taken by the workflow {after(seconds)}"
