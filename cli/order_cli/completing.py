"""Completion: `kubectl` runs `kubectl_complete-order` with the words after `order`, the last of which is unfinished. It
answers one proposal a line, then cobra's directive that no file names are meant."""

import inspect
import sys
from collections.abc import Sequence

from order_cli import flags as global_flags
from order_cli.kubectl import Kubectl
from order_cli.main import COMMANDS, application
from order_cli.problems import CommandError
from order_cli.vocabulary import CLASSES, ORDERS, PHASES

_NO_FILES = ":4"
_GLOBAL = ("--namespace", "--all-namespaces", "--selector", "--context", "--output", "--as", "--utc", "--ascii")
_WITHOUT_ORDER = {"list", "inbox", "watch", "top", "create", "doctor", "version", "completion"}
_VALUES_FROM_CLUSTER = {"-n": "namespaces", "--namespace": "namespaces", "--class": CLASSES}
_VALUES = {
    "-o": global_flags.FORMATS,
    "--output": global_flags.FORMATS,
    "--phase": PHASES,
    "--for": ("finished", "complete", "waiting"),
}


def main() -> None:
    """For kubectl and the shell."""
    for proposal in proposals(sys.argv[1:]):
        print(proposal)
    print(_NO_FILES)


def proposals(words: Sequence[str]) -> list[str]:
    """What the last word could become."""
    *before, unfinished = words or [""]
    try:
        return [found for found in _candidates(list(before), unfinished) if found.startswith(unfinished)]
    except CommandError:
        return []


def _candidates(before: list[str], unfinished: str) -> Sequence[str]:
    last = before[-1] if before else ""
    if last in _VALUES:
        return _VALUES[last]
    if last in _VALUES_FROM_CLUSTER:
        return _names(global_flags.split(before[:-1]), _VALUES_FROM_CLUSTER[last])
    given = global_flags.split(before)
    command = next((word for word in given.rest if word in COMMANDS), None)
    if command is None:
        return list(COMMANDS)
    if unfinished.startswith("-"):
        return [*_options(command), *_GLOBAL]
    if command == "completion":
        return ("bash", "zsh", "fish")
    if command == "create" and last == "--scenario":
        from order_cli.commands.creating import scenarios  # noqa: PLC0415 - only here

        return scenarios()
    return [] if command in _WITHOUT_ORDER else _names(given, ORDERS)


def _options(command: str) -> list[str]:
    app = application(command)
    function = app.registered_commands[0].callback
    assert function is not None
    found: list[str] = []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        for described in getattr(parameter.annotation, "__metadata__", ()):
            if type(described).__name__ == "OptionInfo":
                given = [each for each in described.param_decls or () if each.startswith("--")]
                found += given or [f"--{name.replace('_', '-')}"]
    return found


def _names(given: global_flags.Flags, kind: str) -> list[str]:
    kubectl = Kubectl(given)
    namespaced = kind == ORDERS
    listed = kubectl.run("get", kind, "--output=name", *(kubectl.selection() if namespaced else ()))
    return [line.partition("/")[2] for line in listed.split()]


if __name__ == "__main__":
    main()
