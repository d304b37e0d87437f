"""`kubectl order open`."""

import os
import sys
from typing import Annotated

import typer

from order_cli.commands.tracking import Name
from order_cli.order import visible
from order_cli.problems import CommandError
from order_cli.session import Session


def open_command(
    context: typer.Context,
    name: Name,
    only_print: Annotated[bool, typer.Option("--print", help="Print the address and open nothing.")] = False,
) -> None:
    """Prints the address, and opens it where there is a browser with a window."""
    session: Session = context.obj
    order = session.order(name)
    url = visible(order.workflow.get("url") or "")
    if not url:
        what = f"its workflow is {order.workflow['id']}" if order.workflow.get("id") else "no workflow carries it yet"
        raise CommandError(f"{order.name} names no page ({what}): the Helm value temporal.uiURL says where it is")
    session.terminal.line(url)
    if not only_print and session.terminal.interactive and _has_windows() and url.startswith(("http://", "https://")):
        import webbrowser  # noqa: PLC0415 - slow to import

        webbrowser.open(url)


def _has_windows() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
