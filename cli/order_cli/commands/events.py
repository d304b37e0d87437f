"""`kubectl order events`: what the operator told about orders."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from order_cli import clock
from order_cli.order import visible
from order_cli.problems import CommandError
from order_cli.session import Session
from order_cli.terminal import Cell

EVENTS = "events.events.k8s.io"
Event = Mapping[str, Any]
_RECONNECT_SECONDS = 1.0


def events_command(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of an order; without it, of all orders.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing them.")] = False,
) -> None:
    """Oldest first."""
    session: Session = context.obj
    if watch:
        _watched(session, name)
        return
    found = of_orders(session, name)
    if not session.terminal.for_people:
        session.terminal.objects(found)
        return
    if not found:
        session.terminal.aside(
            "no events; an order that just completes has none, and the cluster forgets them after an hour"
        )
        return
    everywhere = session.flags.all_namespaces
    heads = [*(["NAMESPACE"] if everywhere else []), "TIME", "ORDER", "REASON", "MESSAGE"]
    session.terminal.table(heads, [_row(session, event, everywhere) for event in found])


def of_orders(session: Session, name: str | None = None) -> list[Event]:
    """Events about orders, or about one."""
    flags = session.flags
    scope = ["--all-namespaces"] if flags.all_namespaces else []
    found = session.kubectl.json("get", EVENTS, *scope, *_about(name), namespace=None if scope else flags.namespace)
    return sorted((item for item in found.get("items", []) if _is_ours(item)), key=at)


def _about(name: str | None) -> list[str]:
    return [f"--field-selector=regarding.name={name}"] if name else []


def _is_ours(event: Event) -> bool:
    regarding = event.get("regarding", {})
    return regarding.get("kind") == "Order" and str(regarding.get("apiVersion", "")).startswith("order-platform.dev/")


def at(event: Event) -> str:
    """When it happened, as the cluster writes it."""
    return str(event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _row(session: Session, event: Event, everywhere: bool) -> list[Cell | str]:
    when, regarding = clock.parse(at(event)), event["regarding"]
    style = "bad" if event.get("type") == "Warning" else ""
    cells: list[Cell | str] = [visible(regarding.get("namespace", ""))] if everywhere else []
    return [
        *cells,
        session.terminal.time(when) if when else "-",
        visible(regarding.get("name", "")),
        Cell(visible(event.get("reason", "")), style),
        visible(event.get("note", "")),
    ]


def _watched(session: Session, name: str | None) -> None:
    flags = session.flags
    scope = ["--all-namespaces"] if flags.all_namespaces else []
    namespace = None if scope else flags.namespace
    shown: dict[str, str] = {}
    told = ""
    while True:  # the API server ends each watch after some minutes; the next one begins with what there is
        try:
            with session.kubectl.watch(EVENTS, *scope, *_about(name), namespace=namespace) as watch:
                for kind, event in watch:
                    if _is_ours(event) and _is_new(shown, kind, event):
                        row = _row(session, event, bool(scope))
                        for line in session.terminal.aligned([""] * (4 + bool(scope)), [row]):
                            session.terminal.line(line)
        except CommandError as error:
            if not shown:
                raise
            if str(error) != told:
                session.terminal.aside(f"! {error}; it is tried again")
            told = str(error)
        time.sleep(_RECONNECT_SECONDS)


def _is_new(shown: dict[str, str], kind: str, event: Event) -> bool:
    """Whether it was not shown yet, and is shown now."""
    uid, version = str(event["metadata"].get("uid")), str(event["metadata"].get("resourceVersion"))
    if kind == "DELETED":  # forgotten by the cluster after an hour
        shown.pop(uid, None)
        return False
    before, shown[uid] = shown.get(uid), version
    return before != version
