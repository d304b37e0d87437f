"""`kubectl order version`."""

import json

import typer

from order_cli import installation
from order_cli.problems import CommandError, NotFound
from order_cli.session import Session
from order_cli.vocabulary import ORDERS


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
    known["kinds"] = _kinds(session)
    if session.terminal.format in ("json", "yaml"):
        session.terminal.line(json.dumps(known, indent=4))
        return
    for name, value in known.items():
        session.terminal.line(f"{name:14} {value}")
    if _differs(own, known["operator"]):
        session.terminal.note(
            f"! this program is of release {own}, the operator of {known['operator']}: use the same", "waits"
        )


def _kinds(session: Session) -> str:
    """Versions of the API that the cluster serves orders in."""
    try:
        found = session.kubectl.json("get", "customresourcedefinitions", ORDERS)
    except NotFound:
        return "not installed"
    except CommandError as error:
        return f"unknown ({error})"
    return ", ".join(str(version["name"]) for version in found["spec"]["versions"] if version.get("served"))


def _differs(own: str, operator: str) -> bool:
    try:
        return installation.minor(own) != installation.minor(operator)
    except ValueError:
        return False
