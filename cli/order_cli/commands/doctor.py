"""`kubectl order doctor`."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from order_cli.checks import all_findings
from order_cli.finding import GOOD, PROBLEM, UNKNOWN, WARNING, Finding
from order_cli.session import Session

_STYLES = {GOOD: "good", WARNING: "waits", PROBLEM: "bad", UNKNOWN: "dim"}


def doctor_command(
    context: typer.Context,
    install: Annotated[
        bool, typer.Option("--install", help="The installation alone, with an administrator's rights: also after helm.")
    ] = False,
) -> int:
    """Exit code 1 if something is wrong. What cannot be checked with your rights is said."""
    session: Session = context.obj
    found = all_findings(session, installation_alone=install)
    if session.terminal.for_people:
        for finding in found:
            session.terminal.line(f"{finding.mark} {finding.text}", _STYLES[finding.mark])
        session.terminal.note(_sum(found))
    else:
        session.terminal.line(json.dumps([vars(finding) for finding in found], indent=4, ensure_ascii=False))
    return int(any(finding.mark == PROBLEM for finding in found))


def _sum(found: Sequence[Finding]) -> str:
    counts = {PROBLEM: "problems", WARNING: "warnings", UNKNOWN: "not checked"}
    return ", ".join(f"{sum(each.mark == mark for each in found)} {word}" for mark, word in counts.items())
