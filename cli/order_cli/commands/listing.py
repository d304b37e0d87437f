"""`kubectl order list`."""

from typing import Annotated

import typer

from order_cli import clock, sentences
from order_cli.order import Order
from order_cli.problems import UsageError
from order_cli.rights import me
from order_cli.screens import orders as screen
from order_cli.session import Session
from order_cli.together import both
from order_cli.vocabulary import BAD_PHASES, EXPIRED, PHASES, WAITING


def list_command(
    context: typer.Context,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait for a person or for stock.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed, expired or need a repair.")] = False,
    phase: Annotated[str | None, typer.Option(help=f"Only those in this phase: {', '.join(PHASES)}.")] = None,
    since: Annotated[str | None, typer.Option(help="Only those created in this time: 30m, 2h, 1d.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that I ordered.")] = False,
    customer: Annotated[str | None, typer.Option(help="Only those of this customer.")] = None,
) -> None:
    """Shows them by namespace and name."""
    session: Session = context.obj
    fields = _field_selectors(waiting, failed, phase, customer)
    oldest = clock.ago(_seconds(since)) if since else None
    if mine:
        found, name = both(lambda: session.orders(*fields), lambda: me(session.kubectl))
        found = [order for order in found if order.requested_by == name]
    else:
        found = session.orders(*fields)
    if failed:
        found = [order for order in found if order.phase in (*BAD_PHASES, EXPIRED)]
    if oldest is not None:
        found = [order for order in found if order.created is not None and order.created >= oldest]
    show(session, found)


def show(session: Session, found: list[Order]) -> None:
    """In the form that was asked for."""
    terminal, everywhere = session.terminal, session.flags.all_namespaces
    if not terminal.for_people:
        terminal.objects([order.raw for order in found])
        return
    if not found:
        terminal.aside(f"no orders{'' if everywhere else ' in this namespace; -A looks in all'}")
        return
    wide = terminal.format == "wide"
    for line in screen.table(found, clock.now(), terminal, namespaces=everywhere, wide=wide):
        terminal.line(line)
    terminal.note(sentences.tally(found), "dim")


def _field_selectors(waiting: bool, failed: bool, phase: str | None, customer: str | None) -> list[str]:
    if waiting and phase and phase != WAITING:
        raise UsageError("--waiting and --phase exclude each other")
    if waiting and failed:
        raise UsageError("--waiting and --failed exclude each other")
    if phase and phase not in PHASES:
        raise UsageError(f"--phase {phase}: there are {', '.join(PHASES)}")
    chosen = WAITING if waiting else phase
    fields = [f"status.phase={chosen}"] if chosen else []
    return [*fields, f"spec.customer.id={customer}"] if customer else fields


def _seconds(text: str) -> float:
    try:
        return clock.seconds_in(text)
    except ValueError:
        raise UsageError(f"{text} is no time: write 30s, 15m, 2h or 1d") from None
