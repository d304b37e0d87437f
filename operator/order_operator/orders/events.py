"""What people want to be told of an order by a Kubernetes Event: it waits for them, or has ended other than completed.
An order that just completes is told by its status alone: an event would be a quarter of its API writes."""

from collections.abc import Mapping
from typing import Any

from order_domain.status import TERMINAL_PHASES, Phase
from order_operator.cluster.events import Event

_WARNINGS = frozenset({Phase.FAILED, Phase.MANUAL_REVIEW, Phase.EXPIRED, Phase.DUPLICATE, Phase.INVALID})

ANNOUNCED = frozenset((TERMINAL_PHASES - {Phase.COMPLETED}) | {Phase.WAITING, Phase.MANUAL_REVIEW})


def occasion(status: Mapping[str, Any]) -> str:
    """What one event is about: the phase and, of an order that waits, for what. Empty if there is nothing to tell."""
    phase = status.get("phase")
    if phase not in ANNOUNCED:
        return ""
    waits_for = (status.get("pendingAction") or {}).get("kind") or status.get("orderStatus") or ""
    return f"{phase}.{waits_for}" if phase == Phase.WAITING else str(phase)


def news(status: Mapping[str, Any], before: Mapping[str, Any]) -> Event | None:
    """What `status` is an occasion for and the status `before` was not."""
    about = occasion(status)
    if not about or about == occasion(before):
        return None
    phase = Phase(status["phase"])
    pending, error = status.get("pendingAction") or {}, status.get("lastError") or {}
    note = pending.get("message") or error.get("message") or status.get("orderStatus") or ""
    return Event(about, "Warning" if phase in _WARNINGS else "Normal", phase.value, str(note))
