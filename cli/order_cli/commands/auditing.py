"""`kubectl order audit`: who did what to an order, and when, as its status and its Events tell, or the ledger."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from order_cli import clock, console_route, money
from order_cli.commands.events import EVENTS, Event
from order_cli.commands.tracking import Name
from order_cli.kubectl import Json
from order_cli.order import Order, visible
from order_cli.problems import ExitCode, NotAllowed, UsageError
from order_cli.screens.timeline import timeline
from order_cli.session import Session

_HEADS = ("TIME", "WHO", "VIA", "WHAT", "DETAIL")


_LEDGER_HEADS = ("TIME", "SEQ", "WHO", "VIA", "WHAT", "STATE", "AMOUNT", "DETAIL")


def audit_command(
    context: typer.Context,
    name: Name,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="The ledger's own trail, by the console; it takes the verb audit.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="With --ledger: check that nobody changed it.")] = False,
    console: Annotated[
        str, typer.Option(help=f"Where the console is, https://…; default: the variable {console_route.VARIABLE}.")
    ] = "",
) -> int:
    """From status and Events; or, with --ledger, what nobody can rewrite unseen."""
    session: Session = context.obj
    if (verify or console) and not ledger:
        raise UsageError("--verify and --console are about the ledger: add --ledger")
    order = session.order(name)
    if ledger:
        return _of_ledger(session, order, console_route.trail(session.kubectl, order, console, verify=verify), verify)
    if session.terminal.format == "csv":
        rows = [[entry.when.isoformat(), *entry[1:]] for entry in timeline(order, _events(session, order))]
        _csv(_HEADS, rows)
        return ExitCode.OK
    if not session.terminal.for_people:
        session.terminal.objects([order.raw], one=True)
        return ExitCode.OK
    rows = [
        [session.terminal.time(entry.when, "%H:%M:%S.%f")[:-3], *entry[1:]]
        for entry in timeline(order, _events(session, order))
    ]
    session.terminal.table(_HEADS, rows)
    session.terminal.note("from status and Events; the ledger's chained trail: --ledger", "dim")
    return ExitCode.OK


def _of_ledger(session: Session, order: Order, trail: Json, verify: bool) -> int:
    """Says what the check found as well; exit code 1 where the trail is not intact, or could not be checked."""
    entries, flaws, sealed = trail["entries"], trail.get("flaws"), bool(trail.get("sealed"))
    if session.terminal.format == "csv":
        _csv(_LEDGER_HEADS, [[str(entry["at"]), *_cells(entry)] for entry in entries])
    elif not session.terminal.for_people:
        session.terminal.line(json.dumps(trail, indent=2, ensure_ascii=False))
    else:
        session.terminal.table(_LEDGER_HEADS, [[_time(session, entry), *_cells(entry)] for entry in entries])
        if not entries:
            session.terminal.aside(f"the ledger knows nothing of {order.name} yet")
    if not verify:
        return ExitCode.OK
    if flaws is None or sealed:
        session.terminal.error("sealed with a key that the console has not got: order-worker verify-audit checks it")
        return ExitCode.ERROR
    for flaw in flaws:
        session.terminal.error(visible(flaw))
    if not flaws and session.terminal.for_people:
        session.terminal.note(f"✓ {len(entries)} events, no gap, chain intact", "good")
    return ExitCode.ERROR if flaws else ExitCode.OK


def _time(session: Session, entry: Json) -> str:
    when = clock.parse(entry["at"])
    return session.terminal.time(when, "%H:%M:%S.%f")[:-3] if when else visible(entry["at"])


def _cells(entry: Json) -> list[str]:
    amount = entry.get("amount_minor")
    shown = "" if amount is None else money.amount(amount, entry.get("currency") or "")
    texts = (entry["seq"], entry["who"], entry["channel"], entry["what"], entry["state"], shown, entry["detail"])
    return [visible(str(text)) for text in texts]


def _csv(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([head.lower() for head in heads])
    writer.writerows(rows)


def _events(session: Session, order: Order) -> list[Event]:
    try:
        found = session.kubectl.json(
            "get", EVENTS, f"--field-selector=regarding.name={order.name}", namespace=order.namespace
        )
    except NotAllowed as refusal:
        session.terminal.aside(f"without Events: {refusal}")
        return []
    return [event for event in found.get("items", []) if event.get("regarding", {}).get("uid") == order.uid]
