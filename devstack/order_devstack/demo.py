"""Six orders on a real stack, each to the end it should have: what `make demo` shows."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from order_devstack.errors import DevstackError
from order_devstack.stack import Stack

_SAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "samples"
ORDERS = "orders.order-platform.dev"
_DEADLINE_SECONDS = 120.0
_POLL_SECONDS = 0.4


@dataclass(frozen=True)
class Act:
    """One order of the demo and what must become of it."""

    name: str
    sample: str
    story: str
    phase: str
    captured: int = 0
    refunded: int = 0
    """Minor units that the payment provider must have taken and given back."""
    decision: Mapping[str, Any] = field(default_factory=dict)
    """Patched into the spec once the order waits."""


ACTS = (
    Act("small", "small.yaml", "500.00: nobody has to approve", "Completed", captured=50_000),
    Act(
        "approved",
        "needs-approval.yaml",
        "1500.00: approved",
        "Completed",
        captured=150_000,
        decision={"approval": {"decision": "Approved", "by": "maria", "reason": "known customer"}},
    ),
    Act(
        "rejected",
        "needs-approval.yaml",
        "1500.00: rejected, nothing was done yet",
        "Rejected",
        decision={"approval": {"decision": "Rejected", "by": "maria", "reason": "over budget"}},
    ),
    Act("declined", "declined.yaml", "the card is declined: stock released", "Failed"),
    Act(
        "undeliverable",
        "undeliverable.yaml",
        "the carrier refuses: refund, then release",
        "Failed",
        captured=29_700,
        refunded=29_700,
    ),
    Act(
        "cancelled",
        "needs-approval.yaml",
        "cancelled while it waits for approval",
        "Cancelled",
        decision={"cancellation": {"by": "ana", "reason": "ordered twice"}},
    ),
)


def play(stack: Stack, *, keep: bool) -> bool:
    """Run the demo; whether every order ended as it should. A stack that it started itself is stopped unless `keep`."""
    console = Console(highlight=False)
    running_before = any(stack.pid(name) is not None for name in ("operator", "worker"))
    started = time.monotonic()
    try:
        stack.up()
        namespace = _new_namespace(stack)
        console.print(f"\nsix orders in namespace {namespace}, {time.monotonic() - started:.0f} s after the start:")
        for act in ACTS:
            _apply(stack, namespace, act)
        orders = _follow(stack, namespace, console)
        problems = _problems(orders)
        _report(stack, namespace, console)
        for problem in problems:
            console.print(f"[red]{problem}[/red]")
        if not problems:
            console.print("every order ended as it should.\n")
    finally:
        if not (keep or running_before):
            stack.down()
    _next_steps(stack, namespace, console, up=keep or running_before)
    return not problems


def _new_namespace(stack: Stack) -> str:
    taken = set(stack.kubectl("get", "namespaces", "--output=name").split())
    number = next(number for number in range(1, len(taken) + 2) if f"namespace/demo-{number}" not in taken)
    stack.kubectl("create", "namespace", f"demo-{number}")
    return f"demo-{number}"


def _apply(stack: Stack, namespace: str, act: Act) -> None:
    order = yaml.safe_load((_SAMPLES / act.sample).read_text())
    order["metadata"]["name"] = act.name
    order["spec"].pop("orderID", None)
    stack.kubectl("apply", "--namespace", namespace, "--filename=-", input=json.dumps(order))


def _follow(stack: Stack, namespace: str, console: Console) -> dict[str, Any]:
    """Show the orders until all have ended; decide about those that wait."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    undecided = {act.name: act for act in ACTS if act.decision}
    commands: list[str] = []
    tell = _teller(console)
    orders: dict[str, Any] = {}
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while time.monotonic() < deadline:
            listed = json.loads(stack.kubectl("get", ORDERS, "--namespace", namespace, "--output=json"))
            orders = {item["metadata"]["name"]: item for item in listed["items"]}
            tell(orders)
            for name in [name for name in undecided if _status(orders[name]).get("phase") == "Waiting"]:
                patch = json.dumps({"spec": undecided.pop(name).decision})
                commands.append(f"kubectl patch ord {name} --namespace {namespace} --type=merge --patch '{patch}'")
                stack.kubectl("patch", ORDERS, name, "--namespace", namespace, "--type=merge", "--patch", patch)
            if console.is_terminal:
                live.update(_table(orders, commands), refresh=True)
            if all(_finished(orders[act.name]) for act in ACTS):
                return orders
            time.sleep(_POLL_SECONDS)
    raise DevstackError(
        f"after {_DEADLINE_SECONDS:.0f} s these orders had not ended: "
        f"{', '.join(act.name for act in ACTS if not _finished(orders[act.name]))}; see {stack.root / 'log'}."
    )


def _teller(console: Console) -> Callable[[dict[str, Any]], None]:
    """Where no table can be redrawn: one line for every change."""
    shown: dict[str, str] = {}

    def tell(orders: dict[str, Any]) -> None:
        for name, order in orders.items():
            line = f"{_status(order).get('phase', '-'):12} {_status(order).get('orderStatus', '-')}"
            if not console.is_terminal and shown.get(name) != line:
                console.print(f"  {name:14} {line}")
            shown[name] = line

    return tell


def _table(orders: dict[str, Any], commands: list[str]) -> Table:
    table = Table("order", "what it shows", "phase", "status", "progress", "total", box=None, pad_edge=False)
    for act in ACTS:
        status = _status(orders.get(act.name, {}))
        done = int(status.get("progress", 0))
        ended = _finished(orders.get(act.name, {}))
        colour = "default" if not ended else "green" if status.get("phase") == act.phase else "red"
        table.add_row(
            act.name,
            act.story,
            f"[{colour}]{status.get('phase', '-')}[/{colour}]",
            status.get("orderStatus", "-"),
            f"{'█' * (done // 10):10} {done:3} %",
            status.get("total", ""),
        )
    table.caption = "\n".join(commands)
    table.caption_justify = "left"
    return table


def _problems(orders: dict[str, Any]) -> list[str]:
    problems = []
    for act in ACTS:
        status = _status(orders[act.name])
        payment = status.get("payment", {})
        wanted = (act.phase, act.captured, act.refunded)
        found = (status.get("phase"), payment.get("capturedMinor", 0), payment.get("refundedMinor", 0))
        if found != wanted:
            problems.append(f"{act.name}: phase, captured and refunded should be {wanted} but are {found}")
        conditions = {item["type"]: item["status"] for item in status.get("conditions", [])}
        if act.phase != "Completed" and conditions.get("Reserved") == "True":
            problems.append(f"{act.name}: its stock is still reserved")
    return problems


def _report(stack: Stack, namespace: str, console: Console) -> None:
    for command in (["get", ORDERS, "--output=wide"], ["describe", ORDERS, "undeliverable"]):
        console.print(f"\n[bold]$ kubectl {' '.join(command)} --namespace {namespace}[/bold]", soft_wrap=True)
        console.out(stack.kubectl(*command, "--namespace", namespace))


def _next_steps(stack: Stack, namespace: str, console: Console, *, up: bool) -> None:
    if not up:
        console.print("The stack is stopped, its data kept. To look around: make up (or make demo KEEP=1), then")
    console.print(f"  . {stack.root.name}/env")
    console.print(f"  kubectl get ord --namespace {namespace}")
    console.print("  kubectl apply -f manifests/samples/needs-approval.yaml && kubectl get ord --watch")
    console.print(f"Temporal's Web UI while it runs: {stack.addresses.get('temporal-ui', '-')}")
    console.print("To stop: make down. To forget everything: make clean.")
    sys.stdout.flush()


def _status(order: Mapping[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = order.get("status") or {}
    return status


def _finished(order: Mapping[str, Any]) -> bool:
    conditions = _status(order).get("conditions", [])
    return any(item["type"] == "Finished" and item["status"] == "True" for item in conditions)
