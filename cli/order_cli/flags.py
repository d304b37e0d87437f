"""Flags that every command understands, before or after its name. Those of kubectl are handed to it unread."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from order_cli.problems import UsageError

_CONNECTION = (
    "--context",
    "--kubeconfig",
    "--as",
    "--as-group",
    "--as-uid",
    "--request-timeout",
    "--cluster",
    "--user",
)
_SHORT = {
    "-n": "--namespace",
    "-l": "--selector",
    "-o": "--output",
    "-A": "--all-namespaces",
    "-q": "--quiet",
}
_VALUES = (*_CONNECTION, "--namespace", "--selector", "--field-selector", "--output")
_SWITCHES = ("--all-namespaces", "--no-color", "--ascii", "--quiet", "--utc")
OF_COMMANDS = frozenset(
    "--city --class --company --console --country --currency --customer --email --expect --filename --for"
    " --line1 --line2 --payment --phase --phone --port --postal-code --reason --recipient --remove --scenario"
    " --set --since --sku --state --timeout --to -f".split()
)
"""Flags of the commands that take a value. It is theirs whatever it looks like: `--reason -n` is a reason."""
FORMATS = ("table", "wide", "json", "yaml", "name", "csv")

HELP = (
    "Flags of kubectl: -n, -A, -l, --field-selector, --context, --kubeconfig, --as, --as-group, --request-timeout. "
    "Output: -o table|wide|json|yaml|name, --utc, --no-color, --ascii, -q."
)


@dataclass(frozen=True)
class Flags:
    """What was given of them."""

    connection: tuple[str, ...] = ()
    """For every call of kubectl."""
    namespace: str | None = None
    all_namespaces: bool = False
    selector: str | None = None
    field_selector: str | None = None
    output: str = "table"
    no_color: bool = False
    ascii: bool = False
    quiet: bool = False
    utc: bool = False
    dry_run: str | None = None
    """`server` or `client`, where nothing is to be written."""
    rest: tuple[str, ...] = field(default=())
    """The other arguments: the command, and what it reads itself."""


def split(arguments: Sequence[str]) -> Flags:
    """Raises UsageError where a flag lacks its value."""
    flags, rest, remaining = Flags(), [], list(arguments)
    while remaining:
        word = remaining.pop(0)
        if word == "--":
            rest += [word, *remaining]
            break
        name, glued = _parted(word)
        if name in _SWITCHES and glued is None:
            flags = _switched(flags, name)
        elif name == "--dry-run":
            flags = replace(flags, dry_run=_dry_run(glued))
        elif word in OF_COMMANDS and remaining:
            rest += [word, remaining.pop(0)]
        elif name in _VALUES:
            if glued is None and not remaining:
                raise UsageError(f"{word} needs a value")
            flags = _with(flags, name, remaining.pop(0) if glued is None else glued)
        else:
            rest.append(word)
    return replace(flags, rest=tuple(rest))


def _parted(word: str) -> tuple[str, str | None]:
    """`--namespace=shop`, `-nshop` and `-n=shop` as kubectl reads them."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    name = _SHORT.get(word[:2], word)
    if name == word or len(word) == 2:
        return name, None
    return (word, None) if name in _SWITCHES else (name, word[2:].removeprefix("="))


def _switched(flags: Flags, name: str) -> Flags:
    changes: dict[str, Any] = {_field(name): True}
    return replace(flags, **changes)


def _with(flags: Flags, name: str, value: str) -> Flags:
    if name in _CONNECTION:
        return replace(flags, connection=(*flags.connection, f"{name}={value}"))
    if name == "--output" and value not in FORMATS:
        raise UsageError(f"-o {value}: there are {', '.join(FORMATS)}")
    changes: dict[str, Any] = {_field(name): value}
    return replace(flags, **changes)


def _field(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")


def _dry_run(value: str | None) -> str:
    if value not in (None, "server", "client"):
        raise UsageError(f"--dry-run={value}: there are server and client")
    return value or "server"
