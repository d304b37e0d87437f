"""What every command works with: kubectl, the terminal, and the caller's answers to questions."""

import sys
from dataclasses import dataclass

from order_cli.flags import Flags
from order_cli.kubectl import Kubectl
from order_cli.order import Order
from order_cli.problems import UsageError
from order_cli.terminal import Terminal


@dataclass(frozen=True)
class Session:
    """Of one command."""

    flags: Flags
    kubectl: Kubectl
    terminal: Terminal

    @classmethod
    def of(cls, flags: Flags) -> "Session":
        """Nothing is called yet."""
        return cls(flags, Kubectl(flags), Terminal(flags))

    def order(self, name: str, namespace: str | None = None) -> Order:
        """One order by its name, or by `namespace/name`. Raises NotFound, UsageError."""
        if "/" in name and namespace is None:
            namespace, _, name = name.partition("/")
        if not name or name.startswith("-"):  # kubectl would take it for a flag
            raise UsageError(f"{name!r} is no name of an order")
        return Order(self.kubectl.order(name, namespace))

    def orders(self, *fields: str) -> list[Order]:
        """All that the caller's flags select, by namespace and name."""
        return [Order(raw) for raw in self.kubectl.orders(*fields)]

    def asked(self, question: str) -> bool:
        """Whether the caller says yes, on a terminal. Raises UsageError where there is nobody to ask."""
        return self.answer(f"{question} [y/N] ").lower() in ("y", "yes")

    def answer(self, question: str) -> str:
        """What the caller types. Raises UsageError where there is nobody to ask."""
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked, for standard input is no terminal: add --yes if you are sure")
        sys.stderr.write(self.terminal.plain(question))
        sys.stderr.flush()
        return sys.stdin.readline().strip()
