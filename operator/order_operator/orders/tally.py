"""Counts what becomes of orders, at the moment when the leader has written it into a status that did not show it.

Nothing is kept for that, so that a new leader goes on where the old one stood: what a status shows already is counted.
A status that somebody wiped, and an Order that was restored without its status, count again; so does nothing else.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from order_domain.errors import PermanentError
from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import StepState
from order_domain.status import TERMINAL_PHASES, Phase
from order_operator import metrics
from order_operator.orders.events import count_decision
from order_operator.orders.resource import OrderResource

Status = Mapping[str, Any]

PROPER_ANSWERS = frozenset(
    {error.__name__ for error in PermanentError.__subclasses__() if error.benign}
    | {EndType.ADDRESS_NOT_CONFIRMED.value}
)
"""Errors that end an order as Failed although everything works: the business says no."""

_UNDONE = {StepState.COMPENSATED.value: "done", StepState.COMPENSATION_FAILED.value: "failed"}
_OUTCOMES = {
    StepState.SUCCEEDED.value: "Succeeded",
    StepState.COMPENSATED.value: "Succeeded",
    StepState.COMPENSATION_FAILED.value: "Succeeded",
    StepState.FAILED.value: "Failed",
}


def count(order: OrderResource, status: Status, shown: Phase) -> None:
    """`status` was written in the place of that of `order`; `shown` is the phase that this process wrote last."""
    before = order.status
    if status.get("workflow") and not before.get("workflow") and shown is Phase.PENDING:
        metrics.STARTED.labels(order.namespace).inc()
    _count_steps(status, before)
    _count_decision(status, before)
    phase = Phase(status["phase"])
    if phase in TERMINAL_PHASES and shown not in TERMINAL_PHASES and not order.ended:
        _count_end(order, status, phase)


def _count_end(order: OrderResource, status: Status, phase: Phase) -> None:
    metrics.FINISHED.labels(order.namespace, phase.value, fault_of(status, phase)).inc()
    if completion := status.get("completionTime"):
        seconds = (datetime.fromisoformat(completion) - order.created).total_seconds()
        metrics.LEAD_TIME_SECONDS.labels(phase.value).observe(max(0.0, seconds))


def fault_of(status: Status, phase: Phase) -> str:
    """Whose fault an end is: the business says no, or the platform could not."""
    if phase is not Phase.FAILED:
        return "none"
    return "business" if (status.get("lastError") or {}).get("type") in PROPER_ANSWERS else "platform"


def _count_steps(status: Status, before: Status) -> None:
    known = {step["name"]: step for step in before.get("steps") or ()}
    for step, name in _countable(status):
        state, earlier = step["state"], known.get(name) or {}
        again = _retries(step) - _retries(earlier)
        if again > 0:
            metrics.STEP_RETRIES.labels(name).inc(again)
        if state != earlier.get("state") and state in _UNDONE:
            metrics.COMPENSATIONS.labels(name, _UNDONE[state]).inc()
        if state in _OUTCOMES and step.get("finishedAt") and not earlier.get("finishedAt") and step.get("startedAt"):
            seconds = _between(step["startedAt"], step["finishedAt"])
            metrics.STEP_SECONDS.labels(name, _OUTCOMES[state]).observe(seconds)


def _countable(status: Status) -> Iterator[tuple[Status, str]]:
    return ((step, step["name"]) for step in status.get("steps") or () if step["name"] in _STEPS)


_STEPS = frozenset(step.value for step in StepName)


def _retries(step: Status) -> int:
    return max(0, int(step.get("attempts") or 0) - 1)


def _count_decision(status: Status, before: Status) -> None:
    count_decision(status, before)
    approval = status.get("approval") or {}
    decision, at = approval.get("decision"), approval.get("at")
    if not decision or not at or (before.get("approval") or {}).get("decision"):
        return
    began = next(
        (step.get("startedAt") for step in status.get("steps") or () if step["name"] == StepName.APPROVAL), None
    )
    if began is not None and approval.get("required"):
        metrics.APPROVAL_WAIT_SECONDS.labels(decision).observe(_between(began, at))


def _between(began: str, ended: str) -> float:
    return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
