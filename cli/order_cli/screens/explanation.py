"""Why an order stands where it stands: a sentence, the times, who may act, and what can be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from order_cli import clock, money
from order_cli.order import Order, visible
from order_cli.terminal import Terminal
from order_cli.vocabulary import MANUAL_REVIEW, SUSPENDED


@dataclass(frozen=True)
class Circumstances:
    """What is known beside the order itself."""

    me: str
    policy: Mapping[str, Any]
    """`spec.approval` of the class; empty if unknown."""
    holders: Sequence[str] | None
    """Who has the verb; None if it cannot be read."""
    allowed: bool
    """Whether the caller has the verb that is needed."""
    verb: str


def decision(order: Order, about: Circumstances, now: datetime, terminal: Terminal) -> list[str]:
    """Of an order that waits for approval."""
    lines = [f"{order.name} waits for a decision: {_why_a_decision(order, about.policy)}."]
    if since := order.waiting_since:
        lines.append(
            f"  since {terminal.time(since)} ({clock.long((now - since).total_seconds())}){_until(order, terminal)}"
        )
    barred = _barred(order, about.policy)
    who = ", ".join(name for name in about.holders or [] if name not in barred) or "whoever has the right"
    not_who = "".join(f" · not {name}, who {did} it (four eyes)" for name, did in barred.items())
    lines.append(f"  who may: {who} (verb {about.verb} in {order.namespace}){not_who}")
    if about.me in barred:
        lines.append(f"  you ({about.me}): no, you {barred[about.me]} it")
    elif not about.allowed:
        lines.append(f"  you ({about.me}): no, you lack the verb {about.verb} in {order.namespace}")
    else:
        lines.append(f'  you ({about.me}): yes → kubectl order approve {order.name} -n {order.namespace} --reason "…"')
    return lines


def _barred(order: Order, policy: Mapping[str, Any]) -> dict[str, str]:
    if not policy.get("fourEyes"):
        return {}
    did = {order.edited_by: "edited", order.requested_by: "ordered"}
    return {name: what for name, what in did.items() if name is not None}


def _why_a_decision(order: Order, policy: Mapping[str, Any]) -> str:
    mode, threshold = policy.get("mode"), policy.get("thresholdMinor")
    if mode == "Threshold" and threshold is not None:
        limit = money.amount(int(threshold), order.currency)
        return f"{order.total} is above the {limit} of class {order.class_name}"
    if mode == "Always":
        return f"class {order.class_name} always asks, here about {order.total}"
    return f"{order.total} of class {order.class_name}"


def _until(order: Order, terminal: Terminal) -> str:
    if order.deadline is None:
        return ""
    _, comma, then = order.message.rpartition(", then ")
    what = f", then it {then}" if comma else ""
    charged = " and nothing has been charged" if comma and not order.captured else ""
    return f" · until {terminal.moment(order.deadline, clock.now())}{what}{charged}"


def other(order: Order, now: datetime, terminal: Terminal) -> list[str]:
    """Of an order that waits for no decision."""
    lines = [f"{order.name}: {order.message}"]
    step = order.retrying
    if step is not None:
        since = clock.parse(step.get("startedAt"))
        began = f", since {terminal.time(since)} ({clock.long((now - since).total_seconds())})" if since else ""
        lines.append(f"  step {visible(step.get('name'))}, attempt {step.get('attempts', 1)}{began}")
        lines.append(f"  last error: {visible(step.get('lastError'))}")
    elif order.waiting_since is not None and order.pending:
        waited = clock.long((now - order.waiting_since).total_seconds())
        lines.append(f"  since {terminal.time(order.waiting_since)} ({waited}){_until(order, terminal)}")
    lines += [f"  {line}" for line in (_applied(order), _advice(order)) if line]
    return lines


def _applied(order: Order) -> str:
    edit = order.condition("SpecApplied")
    if edit.get("status") != "False":
        return ""
    return f"the last edit had no effect ({visible(edit.get('reason'))}): {visible(edit.get('message', ''))}"


def _advice(order: Order) -> str:
    where = f"{order.name} -n {order.namespace}"
    if order.phase == SUSPENDED:
        return f"to let it go on: kubectl order resume {where}"
    if order.phase == MANUAL_REVIEW:
        return f"repair what it names, then: kubectl order retry {where} (verb retry)"
    if order.retrying is not None:
        return "nobody has to act: it is tried again by itself"
    if order.finished:
        return f"how it came there: kubectl order audit {where}"
    return ""
