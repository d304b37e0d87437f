"""`kubectl order logs`: the lines of operator and workers about one order."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from order_cli import installation
from order_cli.commands.tracking import Name
from order_cli.order import Order, visible
from order_cli.session import Session

_FIXED = {"time", "level", "logger", "message", "namespace", "name", "uid", "workflowID", "runID"}


def logs_command(
    context: typer.Context,
    name: Name,
    since: Annotated[str, typer.Option(help="How far back: 30m, 2h.")] = "1h",
) -> None:
    """Oldest first. It takes the right to read pods' logs where the chart is installed."""
    session: Session = context.obj
    order = session.order(name)
    found = False
    for line in lines_about(session, order, since):
        session.terminal.line(line)
        found = True
    if not found:
        session.terminal.aside(f"no line about {order.key} in the last {since}")


def lines_about(session: Session, order: Order, since: str = "1h") -> list[str]:
    """In the order of their time. Raises CommandError where the caller may not read logs."""
    found = []
    for deployment in installation.deployments(session.kubectl):
        target = f"deployment/{deployment['metadata']['name']}"
        namespace = deployment["metadata"]["namespace"]
        text = session.kubectl.run("logs", target, "--all-pods", f"--since={since}", namespace=namespace)
        found += list(_lines(text, order, installation.component(deployment)))
    return [line for _, line in sorted(found)]


def _lines(text: str, order: Order, program: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        start = line.find("{")  # kubectl writes the pod's name before it
        try:
            told: dict[str, Any] = json.loads(line[start:]) if start >= 0 else {}
        except ValueError:
            continue
        if told.get("uid") == order.uid or (told.get("namespace"), told.get("name")) == (order.namespace, order.name):
            more = " ".join(f"{key}={visible(value)}" for key, value in told.items() if key not in _FIXED)
            when, level = visible(told.get("time", "")), visible(told.get("level", ""))
            yield when, f"{when} {program:8} {level:7} {visible(told.get('message', ''))} {more}".rstrip()
