"""`kubectl order version`."""

import json

import typer

from order_cli import installation
from order_cli.problems import CommandError
from order_cli.session import Session


def version_command(context: typer.Context) -> None:
    """Warns where the operator is of another release than this program."""
    session: Session = context.obj
    own = installation.own_version()
    client, server = installation.server_and_client(session.kubectl)
    known = {"kubectl order": own, "kubectl": client, "server": server or "does not answer"}
    try:
        operators = installation.operators(installation.deployments(session.kubectl))
        known["operator"] = ", ".join(sorted({installation.release(each) for each in operators})) or "not installed"
    except CommandError as error:
        known["operator"] = f"unknown ({error})"
    if session.terminal.format in ("json", "yaml"):
        session.terminal.line(json.dumps(known, indent=4))
        return
    for name, value in known.items():
        session.terminal.line(f"{name:14} {value}")
    if _differs(own, known["operator"]):
        session.terminal.note(
            f"! this program is of release {own}, the operator of {known['operator']}: use the same", "waits"
        )


def _differs(own: str, operator: str) -> bool:
    try:
        return installation.minor(own) != installation.minor(operator)
    except ValueError:
        return False
