"""`kubectl order wait`."""

from enum import StrEnum
from typing import Annotated

import typer

from order_cli import clock
from order_cli.commands.tracking import Name
from order_cli.order import Order
from order_cli.problems import UsageError
from order_cli.session import Session
from order_cli.vocabulary import WAITING
from order_cli.waits import judge_end, standing, until


class Goal(StrEnum):
    """What can be waited for."""

    FINISHED = "finished"
    COMPLETE = "complete"
    WAITING = "waiting"


def wait_command(
    context: typer.Context,
    name: Name,
    goal: Annotated[
        Goal, typer.Option("--for", help="finished and complete end at any end; waiting: a person has to act.")
    ] = Goal.FINISHED,
    timeout: Annotated[str, typer.Option(help="How long: 30s, 5m; 0 for ever.")] = "5m",
) -> None:
    """Exit code 0: it completed, or waits if that was asked for; 4: it ended otherwise; 5: not in time."""
    session: Session = context.obj

    def reached(order: Order) -> bool:
        return order.finished or (goal is Goal.WAITING and order.phase == WAITING)

    order = until(session, session.order(name), reached, seconds(timeout))
    if not session.terminal.for_people:
        session.terminal.objects([order.raw], one=True)
    told = f"{order.name} waits at {standing(order)}" if not order.finished else judge_end(order)
    if session.terminal.for_people:
        session.terminal.note(f"✓ {told}", "good")


def seconds(text: str) -> float | None:
    """None for ever. Raises UsageError."""
    try:
        return clock.seconds_in(text) or None
    except ValueError:
        raise UsageError(f"--timeout {text}: write 30s, 5m or 1h") from None
