"""Entry point: finds the command, hands it its arguments, turns what goes wrong into a sentence and an exit code."""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from order_cli import flags as global_flags
from order_cli.problems import CommandError, ExitCode
from order_cli.session import Session
from order_cli.terminal import Terminal
from order_cli.vocabulary import CLASSES, ORDERS, WAITING

if TYPE_CHECKING:
    from typer import Typer

COMMANDS = {
    "list": ("listing", "Orders, and what each waits for or why it failed."),
    "get": ("tracking", "One order: its steps, money and parcels."),
    "track": ("tracking", "The same as get; -w follows the order to its end."),
    "why": ("explaining", "What an order waits for, until when, and who may act."),
    "inbox": ("inbox", "Orders that wait for your decision."),
    "watch": ("watching", "A live table of orders."),
    "top": ("board", "A live board: how many orders are where."),
    "events": ("events", "What was told about orders."),
    "wait": ("waiting", "Wait for an order's end; the exit code says which."),
    "audit": ("auditing", "Who did what to an order, and when."),
    "open": ("opening", "The order's pages in the console, Temporal and Grafana."),
    "approve": ("deciding", "Approve orders."),
    "reject": ("deciding", "Reject orders."),
    "cancel": ("cancelling", "Cancel orders; what was done is undone."),
    "suspend": ("holding", "Hold orders before their next step."),
    "resume": ("holding", "Let held orders go on."),
    "retry": ("holding", "Try again at once what waits for a repair."),
    "address": ("editing_address", "Change where an order goes."),
    "lines": ("editing_lines", "Change what is ordered."),
    "create": ("creating", "Place an order."),
    "logs": ("logs", "What operator and workers logged about an order."),
    "doctor": ("doctor", "Check the installation and your rights."),
    "report": ("report", "A bundle for support, without personal data."),
    "ui": ("page", "The same as a page in your browser, with your rights."),
    "version": ("version", "Versions of this program, the cluster and the operator."),
    "completion": ("completion", "A shell's completion script."),
}
"""Name -> module of order_cli.commands that has a function of this name, and help. A command's module is imported when
it is called: all of them would take longer than most answers."""


def main() -> None:
    """For the shell."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns its exit code."""
    terminal = Terminal(global_flags.Flags())
    try:
        given = global_flags.split(arguments)
        session = Session.of(given)
        terminal = session.terminal
        try:
            _begin(session)
            return _called(session)
        finally:
            session.kubectl.end()
    except CommandError as error:
        terminal.error(str(error))
        return error.code
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        terminal.aside("")
        return 128 + signal.SIGINT
    except OSError as error:
        terminal.error(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return ExitCode.ERROR


def application(*names: str) -> "Typer":
    """With these commands."""
    import typer  # noqa: PLC0415 - takes longer to import than most commands to answer

    app = typer.Typer(
        name=program_name(),
        help="Follow and decide orders.",
        epilog=global_flags.HELP,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    for name in names:
        module, text = COMMANDS[name]
        function = getattr(importlib.import_module(f"order_cli.commands.{module}"), f"{name}_command")
        app.command(name, help=text, epilog=global_flags.HELP)(function)
    return app


def program_name() -> str:
    """As the reader would type it: kubectl runs a plugin by its file's name."""
    return "kubectl order"


def _root() -> None:
    """Typer shows a single command without its name unless there is something above it."""


def _begin(session: Session) -> None:
    """Ask for what the plainest commands show first, while the rest of this program is still being imported."""
    match session.flags.rest:
        case ("list",):
            session.kubectl.begin("get", ORDERS, *session.kubectl.selection(), "--output=json")
        case ("get" | "track" | "why" | "audit", str(name)) if not name.startswith("-") and "/" not in name:
            session.kubectl.begin("get", ORDERS, name, "--output=json", namespace=session.flags.namespace)
        case ("inbox",):
            waiting = session.kubectl.selection(f"status.phase={WAITING}")
            session.kubectl.begin("get", ORDERS, *waiting, "--output=json")
            session.kubectl.begin("get", CLASSES, "--output=json")


def _called(session: Session) -> int:
    import typer  # noqa: PLC0415 - as above

    from order_cli.plain_texts import take_texts_as_given  # noqa: PLC0415 - as above

    arguments = list(session.flags.rest) or ["--help"]
    named = next((word for word in arguments if not word.startswith("-")), None)
    if "--version" in arguments and named is None:
        arguments, named = ["version"], "version"
    app = application(*([named] if named in COMMANDS else COMMANDS))
    command = typer.main.get_command(app)
    take_texts_as_given(command)
    try:
        code = command(arguments, prog_name=program_name(), obj=session, standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        return 128 + signal.SIGINT
    except typer.TyperException as error:
        session.terminal.error(f"{error.format_message().rstrip('.?')}; --help tells more")
        return getattr(error, "exit_code", ExitCode.USAGE)
    return int(code or 0)
