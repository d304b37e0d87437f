"""`kubectl order open`."""

import os
import sys
from typing import Annotated

import typer

from order_cli import console_route
from order_cli.commands.tracking import Name
from order_cli.order import visible
from order_cli.problems import CommandError
from order_cli.session import Session


def open_command(
    context: typer.Context,
    name: Name,
    only_print: Annotated[bool, typer.Option("--print", help="Print the address and open nothing.")] = False,
) -> None:
    """Prints the addresses, and opens the first where there is a browser with a window."""
    session: Session = context.obj
    order = session.order(name)
    console = os.environ.get(console_route.VARIABLE, "").rstrip("/")
    pages = [f"{console}/orders/{order.namespace}/{order.name}"] if console else []
    pages += [url] if (url := visible(order.workflow.get("url") or "")) else []
    if not pages:
        what = f"its workflow is {order.workflow['id']}" if order.workflow.get("id") else "no workflow carries it yet"
        raise CommandError(f"{order.name} names no page ({what}): the Helm value temporal.uiURL says where it is")
    for page in pages:
        session.terminal.line(page)
    first = pages[0]
    if not only_print and session.terminal.interactive and _has_windows() and first.startswith(("http://", "https://")):
        import webbrowser  # noqa: PLC0415 - slow to import

        webbrowser.open(first)


def _has_windows() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
