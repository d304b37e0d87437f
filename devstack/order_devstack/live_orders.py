"""Orders while they move: read from the cluster, shown to a person, held against how they should end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from order_cli import clock
from order_cli.flags import Flags
from order_cli.live import picture
from order_cli.order import Order
from order_cli.screens.orders import table
from order_cli.terminal import Terminal
from order_devstack.conditions import condition
from order_devstack.stack import Stack
from order_operator.cluster.api_names import API_VERSION

ORDERS = "orders.order-platform.dev"
POLL_SECONDS = 0.4


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What must become of an order."""

    story: str
    """What this order shows, in a few words."""
    phase: str
    captured: int = 0
    refunded: int = 0
    """Minor units that the payment provider must have taken and given back."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """How often steps must have been tried, by name."""
    line1: str | None = None
    """Of the address in force; None where it does not matter."""

    def problems(self, order: Mapping[str, Any]) -> list[str]:
        """Every way in which `order` has ended otherwise, as a sentence."""
        name, status = order["metadata"]["name"], status_of(order)
        payment = status.get("payment", {})
        wanted: dict[str, Any] = {"phase": self.phase, "captured": self.captured, "refunded": self.refunded}
        found: dict[str, Any] = {
            "phase": status.get("phase"),
            "captured": payment.get("capturedMinor", 0),
            "refunded": payment.get("refundedMinor", 0),
        }
        tried = {step["name"]: step.get("attempts", 0) for step in status.get("steps", [])}
        for step, attempts in self.attempts.items():
            wanted[f"attempts of {step}"], found[f"attempts of {step}"] = attempts, tried.get(step, 0)
        if self.line1 is not None:
            wanted["address"], found["address"] = self.line1, status.get("shippingAddress", {}).get("line1")
        problems = [
            f"{name}: {what} should be {value} but is {found[what]}"
            for what, value in wanted.items()
            if found[what] != value
        ]
        if self.phase != "Completed" and has_condition(order, "Reserved"):
            problems.append(f"{name}: its stock is still reserved")
        return problems


def read(stack: Stack, namespace: str) -> dict[str, Any]:
    """All orders of the namespace, by name."""
    listed = stack.read(f"/apis/{API_VERSION}/namespaces/{namespace}/orders")
    return {item["metadata"]["name"]: item for item in listed["items"]}


def status_of(order: Mapping[str, Any]) -> dict[str, Any]:
    """Its status; empty until the operator has seen it."""
    status: dict[str, Any] = order.get("status") or {}
    return status


def has_condition(order: Mapping[str, Any], kind: str) -> bool:
    """Whether the condition is True."""
    return condition(status_of(order), kind).get("status") == "True"


def is_finished(order: Mapping[str, Any]) -> bool:
    """Whether nothing more will happen to it."""
    return has_condition(order, "Finished")


def new_namespace(stack: Stack, prefix: str) -> str:
    """Create `<prefix>-<n>` with the first number that is free; returns its name."""
    taken = set(stack.kubectl("get", "namespaces", "--output=name").split())
    number = next(number for number in range(1, len(taken) + 2) if f"namespace/{prefix}-{number}" not in taken)
    stack.kubectl("create", "namespace", f"{prefix}-{number}")
    return f"{prefix}-{number}"


class Screen:
    """Shows orders: where a terminal can redraw it the table of `kubectl order watch`, else a line for every change."""

    def __init__(self, console: Console, endings: Mapping[str, Ending]) -> None:
        self.console = console
        self._endings = endings
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._terminal = Terminal(Flags())
        self._shown: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            for name, ending in self._endings.items():
                self.say(f"  {name:14} {ending.story}")
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """What happens, or the command that makes it happen; it stays above the table."""
        self.console.print(text, soft_wrap=True, markup=False)

    def show(self, orders: Mapping[str, Any]) -> None:
        """The orders as they are now."""
        if self._live is not None:
            begun = [Order(orders[name]) for name in self._endings if name in orders]
            lines = table(begun, clock.now(), self._terminal, namespaces=False, wide=False)
            self._live.update(picture(lines), refresh=True)
            return
        for name, order in orders.items():
            line = f"{_phase(order):12} {status_of(order).get('orderStatus', '-')}"
            if self._shown.get(name) != line:
                self.say(f"  {name:14} {line}")
            self._shown[name] = line


def _phase(order: Mapping[str, Any]) -> str:
    phase = status_of(order).get("phase", "-")
    stalled = has_condition(order, "Stalled") and not is_finished(order)
    return f"{phase}, stalled" if stalled else phase
