"""`kubectl order lines`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from order_cli import articles, money, rights
from order_cli.commands.tracking import Name
from order_cli.order import Order, total_of
from order_cli.problems import CommandError, UsageError
from order_cli.session import Session
from order_cli.together import all_three
from order_cli.writing import Step, Timeout, Yes, after, ask_first, carry_out, confirm, show

Policy = Mapping[str, Any]


def lines_command(
    context: typer.Context,
    name: Name,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="SKU=3, or SKU=3@12.50 for a new article or price.")
    ] = None,
    removed: Annotated[list[str] | None, typer.Option("--remove", help="A line, by its lineID or SKU.")] = None,
    yes: Yes = False,
    timeout: Timeout = 30.0,
) -> int:
    """Says the new total, and whether somebody has to approve it, before it asks. Possible until the order is decided
    about or charged."""
    session: Session = context.obj
    if not settings and not removed:
        raise UsageError("nothing to change: --set SKU=3, or --remove LINE")
    ask_first(session, yes)
    order, me, classes = all_three(
        lambda: session.order(name), lambda: rights.me(session.kubectl), lambda: rights.classes_by_name(session.kubectl)
    )
    if order.finished:
        raise CommandError(f"{order.name} has ended as {order.phase}: its lines are fixed")
    wanted = [articles.parse(text, order.currency) for text in settings or []]
    lines = articles.changed(order.lines, wanted, removed or [])
    total = total_of(lines, order.spec.get("charges", []))
    _preview(session, order, lines, total, rights.approval_policy(classes, order))
    if not confirm(session, [order], f"Change the lines of {order.key} as {me}?", yes=yes, expect=None):
        session.terminal.aside("nothing was done")
        return CommandError.code
    return carry_out(session, [Step(order, _patch(order, lines, total, me))], _done, "change the lines of", timeout)


def _patch(order: Order, lines: list[articles.Line], total: int, me: str) -> list[dict[str, Any]]:
    """Refused by the API server where the lines have changed since they were read."""
    patch: list[dict[str, Any]] = [
        {"op": "test", "path": "/spec/lines", "value": order.spec["lines"]},
        {"op": "replace", "path": "/spec/lines", "value": lines},
        {"op": "add", "path": "/spec/editedBy", "value": me},
    ]
    if "totalMinor" in order.spec:
        patch.append({"op": "replace", "path": "/spec/totalMinor", "value": total})
    return patch


def _preview(session: Session, order: Order, lines: list[articles.Line], total: int, policy: Policy) -> None:
    for line in lines:
        show(session, f"  {line['lineID']}: {order.line_text(line)}")
    before, after_it = money.amount(order.spec_total, order.currency), money.amount(total, order.currency)
    show(session, f"{order.key}: {before} → {after_it}; {_needs(order, total, policy)}")


def _needs(order: Order, total: int, policy: Policy) -> str:
    mode, threshold = policy.get("mode"), policy.get("thresholdMinor")
    if mode == "Always":
        return "somebody has to approve it"
    if mode == "Threshold" and threshold is not None:
        limit = money.amount(int(threshold), order.currency)
        if total > int(threshold):
            return f"somebody has to approve it: it is above {limit}"
        return f"nobody has to approve it: it is not above {limit}"
    return "nobody has to approve it" if mode == "Never" else "its class says whether somebody has to approve it"


def _done(order: Order, seconds: float) -> str:
    return f"{order.name} is {order.total} now, taken by the workflow {after(seconds)}: {order.message}"
