"""`kubectl order completion`."""

from enum import StrEnum
from typing import Annotated

import typer

from order_cli.session import Session


class Shell(StrEnum):
    """Whose script is wanted."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_BASH = """\
_kubectl_order() {
    local IFS=$'\\n'
    COMPREPLY=($(kubectl_complete-order "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | grep -v '^:[0-9]*$'))
}
complete -F _kubectl_order kubectl-order
"""
_SCRIPTS = {
    Shell.BASH: _BASH,
    Shell.ZSH: f"autoload -U +X bashcompinit && bashcompinit\n{_BASH}",
    Shell.FISH: (
        "complete -c kubectl-order -f -a "
        "'(kubectl_complete-order (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null | string match -rv \"^:\")'\n"
    ),
}


def completion_command(
    context: typer.Context, shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]
) -> None:
    """For the command kubectl-order. kubectl's own completion finds kubectl_complete-order on PATH by itself."""
    session: Session = context.obj
    session.terminal.line(_SCRIPTS[shell].rstrip("\n"))
