"""`kubectl order report`: what support needs to know, in a zip, without personal data."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from order_cli import clock, installation
from order_cli.checks import all_findings
from order_cli.commands.events import EVENTS
from order_cli.commands.logs import lines_about
from order_cli.problems import CommandError, UsageError
from order_cli.redaction import personal, redacted, redacted_text
from order_cli.session import Session
from order_cli.vocabulary import CLASSES

Files = dict[str, str]


def report_command(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="An order.")] = None,
    install: Annotated[bool, typer.Option("--install", help="About the installation.")] = False,
    target: Annotated[str | None, typer.Option("--to", help="The file; default: order-report-NAME.zip here.")] = None,
) -> None:
    """No address, no mail address and no token is in it. What could not be read is said in it."""
    session: Session = context.obj
    if bool(name) == install:
        raise UsageError("of an order, or --install?")
    files = _of_installation(session) if install else _of_order(session, str(name))
    path = Path(target or f"order-report-{'installation' if install else str(name).replace('/', '-')}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file, text in files.items():
            bundle.writestr(file, text)
    session.terminal.note(f"✓ {path}: {', '.join(files)}", "good")
    session.terminal.note("addresses, mail addresses and tokens are taken out; look through it before you send it")


def _of_order(session: Session, name: str) -> Files:
    order = session.order(name)
    secrets = personal(order.raw)
    kubectl, about = session.kubectl, f"--field-selector=regarding.name={order.name}"
    files = {
        "order.json": _text(redacted(order.raw, secrets)),
        "events.json": _tried(lambda: redacted(kubectl.json("get", EVENTS, about, namespace=order.namespace), secrets)),
        "class.json": _tried(lambda: redacted(kubectl.json("get", CLASSES, order.class_name))),
        "logs.txt": _tried(lambda: "\n".join(redacted_text(line, secrets) for line in lines_about(session, order))),
    }
    return {**files, "about.json": _about(session)}


def _of_installation(session: Session) -> Files:
    kubectl = session.kubectl
    return {
        "doctor.json": _tried(lambda: redacted([vars(finding) for finding in all_findings(session)])),
        "deployments.json": _tried(lambda: redacted(installation.deployments(kubectl))),
        "classes.json": _tried(lambda: redacted(kubectl.json("get", CLASSES))),
        "about.json": _about(session),
    }


def _about(session: Session) -> str:
    client, server = installation.server_and_client(session.kubectl)
    versions = {"kubectl order": installation.own_version(), "kubectl": client, "server": server}
    return _text({**versions, "at": clock.now().isoformat()})


def _tried(read: Any) -> str:
    try:
        return _text(read())
    except CommandError as error:
        return f"could not be read: {redacted_text(str(error))}"


def _text(value: Mapping[str, Any] | list[Any] | str) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
