"""Six orders on a real stack, each to the end it should have: what `make demo` shows."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from order_devstack import live_orders
from order_devstack.errors import DevstackError
from order_devstack.live_orders import ORDERS, Ending, Screen
from order_devstack.stack import Stack

_SAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "samples"
_DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Act:
    """One order of the demo and what must become of it."""

    name: str
    sample: str
    ending: Ending
    decision: Mapping[str, Any] = field(default_factory=dict)
    """Patched into the spec once the order waits."""


ACTS = (
    Act("small", "small.yaml", Ending(story="500.00: nobody has to approve", phase="Completed", captured=50_000)),
    Act(
        "approved",
        "needs-approval.yaml",
        Ending(story="1500.00: approved", phase="Completed", captured=150_000),
        decision={"approval": {"decision": "Approved", "by": "maria", "reason": "known customer"}},
    ),
    Act(
        "rejected",
        "needs-approval.yaml",
        Ending(story="1500.00: rejected, nothing was done yet", phase="Rejected"),
        decision={"approval": {"decision": "Rejected", "by": "maria", "reason": "over budget"}},
    ),
    Act("declined", "declined.yaml", Ending(story="the card is declined: stock released", phase="Failed")),
    Act(
        "undeliverable",
        "undeliverable.yaml",
        Ending(story="the carrier refuses: refund, then release", phase="Failed", captured=29_700, refunded=29_700),
    ),
    Act(
        "cancelled",
        "needs-approval.yaml",
        Ending(story="cancelled while it waits for approval", phase="Cancelled"),
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
        namespace = live_orders.new_namespace(stack, "demo")
        console.print(f"\nsix orders in namespace {namespace}, {time.monotonic() - started:.0f} s after the start:")
        problems = perform(stack, namespace, console)
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


def perform(stack: Stack, namespace: str, console: Console) -> list[str]:
    """Carry the orders out in this namespace of a running stack; returns what ended otherwise than it should.

    Raises DevstackError if an order does not end.
    """
    for act in ACTS:
        _apply(stack, namespace, act)
    orders = _follow(stack, namespace, console)
    return [problem for act in ACTS for problem in act.ending.problems(orders[act.name])]


def _apply(stack: Stack, namespace: str, act: Act) -> None:
    order = yaml.safe_load((_SAMPLES / act.sample).read_text())
    order["metadata"]["name"] = act.name
    order["spec"].pop("orderID", None)
    stack.kubectl("apply", "--namespace", namespace, "--filename=-", input=json.dumps(order))


def _follow(stack: Stack, namespace: str, console: Console) -> dict[str, Any]:
    """Show the orders until all have ended; decide about those that wait."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    undecided = {act.name: act for act in ACTS if act.decision}
    orders: dict[str, Any] = {}
    with Screen(console, {act.name: act.ending for act in ACTS}) as screen:
        while time.monotonic() < deadline:
            orders = live_orders.read(stack, namespace)
            screen.show(orders)
            waiting = [name for name in undecided if live_orders.status_of(orders[name]).get("phase") == "Waiting"]
            for name in waiting:
                patch = json.dumps({"spec": undecided.pop(name).decision})
                screen.say(f"$ kubectl patch ord {name} --namespace {namespace} --type=merge --patch '{patch}'")
                stack.kubectl("patch", ORDERS, name, "--namespace", namespace, "--type=merge", "--patch", patch)
            if all(live_orders.is_finished(orders[act.name]) for act in ACTS):
                return orders
            time.sleep(live_orders.POLL_SECONDS)
    raise DevstackError(
        f"after {_DEADLINE_SECONDS:.0f} s these orders had not ended: "
        f"{', '.join(act.name for act in ACTS if not live_orders.is_finished(orders[act.name]))}; "
        f"see {stack.root / 'log'}."
    )


def _report(stack: Stack, namespace: str, console: Console) -> None:
    for command in (["get", ORDERS, "--output=wide"], ["describe", ORDERS, "undeliverable"]):
        console.print(f"\n[bold]$ kubectl {' '.join(command)} --namespace {namespace}[/bold]", soft_wrap=True)
        console.out(stack.kubectl(*command, "--namespace", namespace))


def _next_steps(stack: Stack, namespace: str, console: Console, *, up: bool) -> None:
    # No line is broken, however narrow the terminal: each can be pasted.
    lines = [
        f"  . {stack.root.name}/env",
        f"  kubectl order list --namespace {namespace}",
        f"  kubectl order track undeliverable --namespace {namespace}",
        "  kubectl apply -f manifests/samples/needs-approval.yaml && kubectl get ord --watch",
        f"Temporal's Web UI while it runs: {stack.addresses.get('temporal-ui', '-')}",
        "To stop: make down. To forget everything: make clean.",
    ]
    if not up:
        lines.insert(0, "The stack is stopped, its data kept. To look around: make up (or make demo KEEP=1), then")
    for line in lines:
        console.print(line, soft_wrap=True)
    sys.stdout.flush()
