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
from order_cli.together import both

CONFIG_MAP = "order-platform-addresses"
NAMESPACE = "ORDER_PLATFORM_NAMESPACE"
"""Variable: where the chart is installed, if that is not order-platform."""
BOARD = "order-platform-orders"


def open_command(
    context: typer.Context,
    name: Name,
    only_print: Annotated[bool, typer.Option("--print", help="Print the address and open nothing.")] = False,
) -> None:
    """Its page of the console, its workflow in Temporal's Web UI, and Grafana's board of its namespace, as far as they
    are known. Prints the addresses, and opens the first where there is a browser with a window."""
    session: Session = context.obj
    order, known = both(lambda: session.order(name), lambda: _addresses(session))
    console = os.environ.get(console_route.VARIABLE, "").rstrip("/") or known.get("console", "")
    grafana = known.get("grafana", "")
    found = [
        f"{console}/orders/{order.namespace}/{order.name}" if console else "",
        visible(order.workflow.get("url") or ""),
        f"{grafana}/d/{BOARD}?var-order_namespace={order.namespace}" if grafana else "",
    ]
    pages = [page for page in found if page]
    if not pages:
        what = f"its workflow is {order.workflow['id']}" if order.workflow.get("id") else "no workflow carries it yet"
        raise CommandError(f"{order.name} names no page ({what}): the Helm value temporal.uiURL says where it is")
    for page in pages:
        session.terminal.line(page)
    first = pages[0]
    if not only_print and session.terminal.interactive and _has_windows() and first.startswith(("http://", "https://")):
        import webbrowser  # noqa: PLC0415 - slow to import

        webbrowser.open(first)


def _addresses(session: Session) -> dict[str, str]:
    """What the chart tells everybody, by name; nothing where there is none, or the caller may not read it."""
    namespace = os.environ.get(NAMESPACE, "order-platform")
    try:
        told = session.kubectl.json("get", "configmaps", CONFIG_MAP, namespace=namespace).get("data") or {}
    except CommandError:
        return {}
    return {name: visible(address).rstrip("/") for name, address in told.items()}


def _has_windows() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
