"""`kubectl order approve` and `kubectl order reject`."""

from typing import Annotated

import typer

from order_cli import money, rights
from order_cli.order import Order
from order_cli.problems import CommandError, NotAllowed
from order_cli.screens.order_line import summary
from order_cli.session import Session
from order_cli.together import both
from order_cli.vocabulary import REJECT
from order_cli.writing import Expect, Names, Step, Timeout, Yes, after, ask_first, carry_out, chosen, confirm, show

Reason = Annotated[str | None, typer.Option(help="Why; it is kept with the decision.")]
_TIMEOUT = 30.0


def approve_command(
    context: typer.Context,
    names: Names = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    timeout: Timeout = _TIMEOUT,
) -> int:
    """Under your own name, about the amount that was shown; --dry-run lets the API server judge and writes nothing."""
    return _decide(context.obj, names, "Approved", reason, yes=yes, expect=expect, timeout=timeout)


def reject_command(
    context: typer.Context,
    names: Names = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    timeout: Timeout = _TIMEOUT,
) -> int:
    """As approve; the order ends, and nothing is charged."""
    return _decide(context.obj, names, "Rejected", reason, yes=yes, expect=expect, timeout=timeout)


def _decide(
    session: Session,
    names: list[str] | None,
    decision: str,
    reason: str | None,
    *,
    yes: bool,
    expect: int | None,
    timeout: float,
) -> int:
    verb = "approve" if decision == "Approved" else "reject"
    ask_first(session, yes)
    orders, me = both(
        lambda: chosen(session, names, lambda order: order.awaits_decision), lambda: rights.me(session.kubectl)
    )
    for order in orders:
        _must_wait(order, verb)
    _must_be_allowed(session, orders, me, verb)
    for order in orders:
        show(session, summary(order))
    if not confirm(session, orders, f"{verb.capitalize()} as {me}?", yes=yes, expect=expect):
        session.terminal.aside("nothing was done")
        return CommandError.code
    steps = [Step(order, _patch(order, decision, me, reason)) for order in orders]

    def done(order: Order, seconds: float) -> str:
        name = f"{order.key} " if len(orders) > 1 else ""
        return f"{name}{decision.lower()}, taken by the workflow {after(seconds)}: now {order.order_status}"

    return carry_out(session, steps, done, verb, timeout)


def _patch(order: Order, decision: str, me: str, reason: str | None) -> dict[str, object]:
    approval = {"decision": decision, "by": me, "totalMinor": order.spec_total}
    return {"spec": {"approval": {**approval, **({"reason": reason} if reason else {})}}}


def _must_wait(order: Order, verb: str) -> None:
    if order.awaits_decision:
        return
    decided = order.approval.get("decision")
    if decided and order.approval.get("by"):
        raise CommandError(
            f"{order.name} was {str(decided).lower()} by {order.approval['by']}: the first decision is final"
        )
    raise CommandError(
        f"{order.name} waits for no decision, so you cannot {verb} it: it is {order.phase}, {order.message}"
    )


def _must_be_allowed(session: Session, orders: list[Order], me: str, verb: str) -> None:
    """Asked before the question, so that nobody thinks about an order in vain; the API server judges again."""
    needed = {order.key: REJECT if verb == "reject" else rights.needed(order) for order in orders}
    allowed, classes = both(
        lambda: rights.allowed(session.kubectl, ((order.namespace, needed[order.key], order.name) for order in orders)),
        lambda: rights.classes_by_name(session.kubectl),
    )
    for order in orders:
        right = needed[order.key]
        did = rights.own(order, me) if rights.four_eyes(classes, order) else None
        if did is not None:
            barred = [name for name in (me, order.requested_by, order.edited_by) if name]
            ask = rights.whom_to_ask(session.kubectl, order, right, barred)
            raise NotAllowed(f"{me} may not {verb} {order.name}: they {did} it (four eyes). {ask}")
        if not allowed[order.namespace, right, order.name]:
            amount = money.amount(order.spec_total, order.currency)
            ask = rights.whom_to_ask(session.kubectl, order, right, [me])
            raise NotAllowed(
                f"{me} may not {verb} {order.name} ({amount}): that takes the verb {right} in {order.namespace}. {ask}"
            )
