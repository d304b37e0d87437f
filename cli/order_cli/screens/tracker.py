"""One order on one screen: where it is, each step with its times, money, parcels, and what can be done next."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from order_cli import clock, money, sentences
from order_cli.order import Order, visible
from order_cli.terminal import Cell, Terminal
from order_cli.vocabulary import (
    APPROVED,
    MANUAL_REVIEW,
    STEP_COMPENSATED,
    STEP_FAILED,
    STEP_PENDING,
    STEP_RUNNING,
    STEP_SKIPPED,
    STEP_STUCK,
    STEP_SUCCEEDED,
    STEP_WAITING,
    SUSPENDED,
)

_MARKS = {
    STEP_SUCCEEDED: Cell("✓", "good"),
    STEP_RUNNING: Cell("▶", "busy"),
    STEP_WAITING: Cell("◔", "waits"),
    STEP_PENDING: Cell("·", "dim"),
    STEP_FAILED: Cell("✗", "bad"),
    STEP_STUCK: Cell("✗", "bad"),
    STEP_COMPENSATED: Cell("↶", "waits"),
    STEP_SKIPPED: Cell("–", "dim"),
}


def tracker(order: Order, now: datetime, terminal: Terminal) -> list[str]:
    """The lines of the screen."""
    done = f"{order.progress} %" if order.progress is not None else ""
    parts = [order.key, order.order_status, done, order.total, f"class {order.class_name}", sentences.age(order, now)]
    head = terminal.plain("   ".join(part for part in parts if part and part != "-"))
    steps = [_step(order, step, now, terminal) for step in order.steps]
    lines = [terminal.paint(head, sentences.style(order))]
    lines += [f"  {line}" for line in terminal.aligned([""] * 5, steps)]
    lines += [terminal.plain(f"  {line}") for line in (_money(order), order.message, _next(order)) if line]
    return lines


def _step(order: Order, step: Mapping[str, Any], now: datetime, terminal: Terminal) -> list[Cell | str]:
    state = str(step.get("state"))
    started, finished = clock.parse(step.get("startedAt")), clock.parse(step.get("finishedAt"))
    shown = state != STEP_SKIPPED and started is not None
    began = terminal.time(started) if shown and started else ""
    took = clock.lasted(started, finished) if shown and started and finished else ""
    if shown and started and not finished and state in (STEP_RUNNING, STEP_WAITING):
        took = clock.short((now - started).total_seconds())
    return [_MARKS.get(state, Cell("?")), visible(step.get("name", "?")), began, took, _remark(order, step, now)]


def _remark(order: Order, step: Mapping[str, Any], now: datetime) -> str:
    state, attempts = step.get("state"), int(step.get("attempts", 0))
    error = visible(step.get("lastError") or "")
    if step.get("name") == "Approval":
        return _approval(order, now)
    if state == STEP_RUNNING and error:
        return f"attempt {attempts}{sentences.next_try(step.get('nextAttemptAt'), now)}: {error}"
    if state == STEP_WAITING:
        return f"waits{sentences.left(order, now)}"
    if state == STEP_COMPENSATED:
        return "undone"
    if state == STEP_STUCK:
        return f"could not be undone: {error}" if error else "could not be undone"
    if state == STEP_FAILED:
        return error
    return f"{attempts} attempts" if attempts > 1 else ""


def _approval(order: Order, now: datetime) -> str:
    approval = order.approval
    decision, by = approval.get("decision"), approval.get("by")
    if decision:
        reason = f': "{visible(approval["reason"])}"' if approval.get("reason") else ""
        return f"{str(decision).lower()}{f' by {visible(by)}' if by else ''}{reason}"
    if order.awaits_decision:
        return f"waits for a decision{sentences.left(order, now)}"
    if order.condition(APPROVED).get("reason") == "NotRequired":
        return f"not needed ({order.total})"
    return ""


def _money(order: Order) -> str:
    payment, parts = order.payment, []
    if payment:
        captured = money.number(int(payment.get("capturedMinor", 0)), order.currency)
        refunded = money.number(int(payment.get("refundedMinor", 0)), order.currency)
        parts.append(f"captured {captured}, refunded {refunded}")
    parcels = [
        f"{visible(parcel.get('trackingNumber', '?'))} ({visible(parcel.get('state', '')).lower()})"
        for parcel in order.shipments
    ]
    if parcels:
        parts.append(f"parcels {', '.join(parcels)}")
    return " · ".join(parts)


def _next(order: Order) -> str:
    name = f"{order.name} -n {order.namespace}"
    commands = [f"kubectl order why {name}"] if not order.finished else [f"kubectl order audit {name}"]
    if order.awaits_decision:
        commands.append(f'kubectl order approve {name} --reason "…"')
    elif order.phase == SUSPENDED:
        commands.append(f"kubectl order resume {name}")
    elif order.phase == MANUAL_REVIEW:
        commands.append(f"kubectl order retry {name}")
    return " · ".join(commands)
