"""`kubectl order suspend`, `resume` and `retry`."""

from collections.abc import Callable

import typer

from order_cli import rights
from order_cli.order import Order
from order_cli.problems import CommandError, NotAllowed
from order_cli.session import Session
from order_cli.vocabulary import MANUAL_REVIEW, RETRY
from order_cli.writing import Expect, Names, Step, Timeout, Yes, after, ask_first, carry_out, chosen, confirm


def suspend_command(
    context: typer.Context, names: Names = None, yes: Yes = False, expect: Expect = None, timeout: Timeout = 30.0
) -> int:
    """The step that runs is finished first."""

    def meant(order: Order) -> bool:
        return not order.finished and not order.spec.get("suspend")

    return _change(context.obj, names, "suspend", meant, lambda _: {"suspend": True}, yes, expect, timeout)


def resume_command(
    context: typer.Context, names: Names = None, yes: Yes = False, expect: Expect = None, timeout: Timeout = 30.0
) -> int:
    """What was held goes on."""

    def meant(order: Order) -> bool:
        return not order.finished and bool(order.spec.get("suspend"))

    return _change(context.obj, names, "resume", meant, lambda _: {"suspend": False}, yes, expect, timeout)


def retry_command(
    context: typer.Context, names: Names = None, yes: Yes = False, expect: Expect = None, timeout: Timeout = 30.0
) -> int:
    """Of orders in ManualReview, once their cause is repaired; it takes the verb retry."""

    def meant(order: Order) -> bool:
        return order.phase == MANUAL_REVIEW

    def once_more(order: Order) -> dict[str, object]:
        return {"retry": int(order.spec.get("retry", 0)) + 1}

    return _change(context.obj, names, RETRY, meant, once_more, yes, expect, timeout)


def _change(
    session: Session,
    names: list[str] | None,
    word: str,
    meant: Callable[[Order], bool],
    spec: Callable[[Order], dict[str, object]],
    yes: bool,
    expect: int | None,
    timeout: float,
) -> int:
    """Nothing of this moves money, so that one named order is changed without a question."""
    if session.flags.selector:
        ask_first(session, yes)
    orders = chosen(session, names, meant)
    for order in orders:
        if not meant(order):
            held = "held" if order.spec.get("suspend") and not order.finished else order.phase
            raise CommandError(f"{order.name} is {held}: there is nothing to {word}")
    if word == RETRY:
        _may_retry(session, orders)
    if session.flags.selector and not confirm(
        session, orders, f"{word.capitalize()} {len(orders)} orders?", yes=yes, expect=expect
    ):
        session.terminal.aside("nothing was done")
        return CommandError.code

    def done(order: Order, seconds: float) -> str:
        past = {"suspend": "held", "resume": "goes on", RETRY: "is tried again"}[word]
        return f"{order.name} {past}, taken by the workflow {after(seconds)}: {order.message}"

    return carry_out(session, [Step(order, {"spec": spec(order)}) for order in orders], done, word, timeout)


def _may_retry(session: Session, orders: list[Order]) -> None:
    allowed = rights.allowed(session.kubectl, ((order.namespace, RETRY, order.name) for order in orders))
    for order in orders:
        if not allowed[order.namespace, RETRY, order.name]:
            ask = rights.whom_to_ask(session.kubectl, order, RETRY, [])
            raise NotAllowed(f"you may not retry {order.name}: that takes the verb {RETRY} in {order.namespace}. {ask}")
