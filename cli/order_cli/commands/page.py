"""`kubectl order ui`."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from order_cli.problems import CommandError, UsageError
from order_cli.session import Session

PROGRAM = "order-console"
_VARIABLES = {"--kubeconfig": "KUBECONFIG", "--context": "ORDER_CONSOLE_CONTEXT"}
"""Flag of kubectl -> what the console reads."""


def ui_command(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where the page is served, on this machine alone.")
    ] = 8088,
) -> None:
    """Serves the page with your own rights until Ctrl-C, and prints the link to it."""
    session: Session = context.obj
    program = _program()
    variables = {
        "ORDER_CONSOLE_LISTEN": f"127.0.0.1:{port}",
        "ORDER_CONSOLE_IDENTITY": "kubeconfig",
        "ORDER_CONSOLE_NAMESPACES": session.flags.namespace or "",
    }
    for flag in session.flags.connection:
        name, _, value = flag.partition("=")
        if name not in _VARIABLES:
            raise UsageError(f"the page does not understand {name}: make a context of your kubeconfig with it")
        variables[_VARIABLES[name]] = value
    os.execve(program, [program], {**os.environ, **variables})  # noqa: S606 - there is no shell in between


def _program() -> str:
    """Beside this one, or on PATH. Raises CommandError."""
    beside = Path(sys.argv[0]).with_name(PROGRAM)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(PROGRAM)
    if found is None:
        raise CommandError(f"the page is a program of its own, {PROGRAM}: pip install 'order-platform[console]'")
    return found
