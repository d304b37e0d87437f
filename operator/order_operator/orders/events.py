"""What people want to be told of an order by Kubernetes Events: it waits for them, goes no further, ignored what
somebody asked for, was deleted under way, or has ended other than completed. An order that just completes is told by
its status alone: an event would be a quarter of its API writes."""

from collections.abc import Iterator, Mapping
from typing import Any

from order_domain.order import DeletionPolicy
from order_domain.status import TERMINAL_PHASES, Phase
from order_operator import metrics
from order_operator.cluster.conditions import ConditionType, Reason
from order_operator.cluster.event_reasons import EventReason
from order_operator.cluster.events import Event
from order_workflows.contract import KUBERNETES, POLICY, SIGNAL, TEMPORAL

Status = Mapping[str, Any]

_WARNINGS = frozenset({Phase.FAILED, Phase.MANUAL_REVIEW, Phase.EXPIRED, Phase.DUPLICATE, Phase.INVALID})
_PHASES = frozenset((TERMINAL_PHASES - {Phase.COMPLETED}) | {Phase.WAITING, Phase.MANUAL_REVIEW})


def news(status: Status, before: Status) -> list[Event]:
    """What `status` is an occasion for and the status `before` was not. An occasion has the same name whoever sees it,
    so that it is told once."""
    told = {event.occasion for event in _events(before)}
    return [event for event in _events(status) if event.occasion not in told]


def deletion_decided(policy: DeletionPolicy) -> Event:
    """The resource is gone or going, and its workflow was told what that means."""
    becomes = "goes on without it" if policy is DeletionPolicy.ORPHAN else "was asked to cancel the order"
    note = f"the order was deleted with deletionPolicy {policy}: its workflow {becomes}"
    return Event(f"{EventReason.DELETION_DECIDED}.{policy}", "Normal", EventReason.DELETION_DECIDED, note)


def count_decision(status: Status, before: Status) -> None:
    """A decision that `status` shows and the status `before` did not is counted."""
    approval = status.get("approval") or {}
    if approval.get("decision") and not (before.get("approval") or {}).get("decision"):
        # An expiry has neither: nobody decided. A client of Temporal may name its channel as it likes.
        channel, proof = approval.get("via") or POLICY, approval.get("proof") or "none"
        known = channel if channel in (KUBERNETES, SIGNAL, POLICY) else TEMPORAL
        metrics.DECISIONS.labels(approval["decision"], known, proof).inc()


def _events(status: Status) -> Iterator[Event]:
    conditions = {item["type"]: item for item in status.get("conditions") or []}
    message = str(status.get("message") or status.get("orderStatus") or "")
    yield from _of_phase(status, message)
    yield from _of_what_holds_it_up(status, conditions, message)
    yield from _of_messages(status, conditions)
    yield from _of_decision(status)
    complete, notified = conditions.get(ConditionType.COMPLETE, {}), conditions.get(ConditionType.NOTIFIED, {})
    if complete.get("status") == "True" and complete["reason"] != Phase.COMPLETED:
        yield Event(EventReason.COMPLETED_IN_PART, "Normal", EventReason.COMPLETED_IN_PART, message)
    if notified.get("reason") == Reason.FAILED:
        note = "the customer could not be written to; the order goes on without"
        yield Event(EventReason.NOTIFICATION_FAILED, "Warning", EventReason.NOTIFICATION_FAILED, note)


def _of_phase(status: Status, message: str) -> Iterator[Event]:
    phase = status.get("phase")
    if phase not in _PHASES:
        return
    occasion = str(phase)
    if phase == Phase.WAITING:
        # For the same thing a second time is another occasion: it has another deadline.
        pending = status.get("pendingAction") or {}
        occasion = f"{phase}.{pending.get('kind') or status.get('orderStatus')}.{pending.get('deadline') or ''}"
    yield Event(occasion, "Warning" if phase in _WARNINGS else "Normal", str(phase), message)


def _of_what_holds_it_up(status: Status, conditions: Mapping[str, Status], message: str) -> Iterator[Event]:
    accepted, reconciling = conditions.get(ConditionType.ACCEPTED, {}), conditions.get(ConditionType.RECONCILING, {})
    if accepted.get("status") == "False":
        occasion = f"{EventReason.NOT_ACCEPTED}.{accepted['reason']}.{accepted.get('observedGeneration', 0)}"
        yield Event(occasion, "Warning", EventReason.NOT_ACCEPTED, message)
    if reconciling.get("reason") == Reason.STEP_RETRYING and reconciling.get("status") == "True":
        # Once for a step: how often it has failed is in the status.
        occasion = f"{EventReason.STEP_RETRYING}.{status.get('currentStep') or status.get('orderStatus')}"
        yield Event(occasion, "Warning", EventReason.STEP_RETRYING, message)


def _of_decision(status: Status) -> Iterator[Event]:
    """Of a person."""
    approval = status.get("approval") or {}
    if approval.get("by") and approval.get("proof"):
        note = (
            f"{str(approval['decision']).lower()} by {approval['by']} (proof: {approval['proof']}, "
            f"via {approval.get('via')})"
        )
        yield Event(EventReason.DECIDED, "Normal", EventReason.DECIDED, note)


def _of_messages(status: Status, conditions: Mapping[str, Status]) -> Iterator[Event]:
    applied, refusal = conditions.get(ConditionType.SPEC_APPLIED, {}), status.get("lastRefusal")
    if applied.get("status") == "False":
        occasion = f"{EventReason.EDIT_REFUSED}.{applied['reason']}.{applied.get('observedGeneration', 0)}"
        yield Event(occasion, "Warning", EventReason.EDIT_REFUSED, str(applied.get("message") or applied["reason"]))
    if refusal is not None:
        note = f"the Signal {refusal['what']} had no effect: {refusal['reason']}"
        yield Event(f"{EventReason.SIGNAL_IGNORED}.{refusal['at']}", "Warning", EventReason.SIGNAL_IGNORED, note)
