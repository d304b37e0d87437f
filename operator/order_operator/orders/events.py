"""Kubernetes Events for what people want to be told: an order waits for them, has ended other than completed, or cannot
be shown as it is. An order that just completes is told by its status alone: an event would be a quarter of its API
writes."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio import client

from order_domain.status import TERMINAL_PHASES, Phase
from order_operator.cluster.api import Conflict, KubernetesApi, NotFound
from order_operator.cluster.api_names import API_VERSION, FIELD_MANAGER, GROUP, ORDER_KIND
from order_operator.orders.resource import OrderResource
from order_operator.work_queue import TryLater

_WARNINGS = frozenset({Phase.FAILED, Phase.MANUAL_REVIEW, Phase.EXPIRED, Phase.DUPLICATE, Phase.INVALID})

ANNOUNCED = frozenset((TERMINAL_PHASES - {Phase.COMPLETED}) | {Phase.WAITING, Phase.MANUAL_REVIEW})

STATUS_REFUSED = "StatusRefused"

MAX_OF_NAME = 200
"""Characters of an order's name in the name of its events."""

logger = logging.getLogger(__name__)


def occasion(status: Mapping[str, Any]) -> str:
    """What one event is about: the phase and, of an order that waits, for what. Empty if there is nothing to tell."""
    phase = status.get("phase")
    if phase not in ANNOUNCED:
        return ""
    waits_for = (status.get("pendingAction") or {}).get("kind") or status.get("orderStatus") or ""
    return f"{phase}.{waits_for}" if phase == Phase.WAITING else str(phase)


def event_name(order: OrderResource, about: str) -> str:
    """The same for the same occasion, so that it is posted once. Within the 253 characters of a name."""
    words = re.sub(r"[^a-z0-9.]+", "-", about.lower())
    return f"{order.name[:MAX_OF_NAME].rstrip('-.')}.{order.uid[:8]}.{words}"


async def announce(
    api: KubernetesApi, order: OrderResource, status: Mapping[str, Any], note: str, identity: str
) -> None:
    """Tell what `status` is an occasion for."""
    phase = Phase(status["phase"])
    kind = "Warning" if phase in _WARNINGS else "Normal"
    await _post(api, order, _Event(occasion(status), kind, phase.value, note), identity)


async def announce_refusal(api: KubernetesApi, order: OrderResource, refusal: str, identity: str) -> None:
    """Tell that the API server refuses the order's status, which therefore shows what was, and why."""
    about = f"{STATUS_REFUSED}.{hashlib.sha256(refusal.encode()).hexdigest()[:8]}"
    note = f"the status is not up to date, the API server refuses it: {refusal}"
    await _post(api, order, _Event(about, "Warning", STATUS_REFUSED, note), identity)


@dataclass(frozen=True)
class _Event:
    about: str
    kind: str
    reason: str
    note: str


async def _post(api: KubernetesApi, order: OrderResource, event: _Event, identity: str) -> None:
    """Best effort: an event that cannot be posted is logged, and one posted before is not posted again."""
    body = client.EventsV1Event(
        metadata=client.V1ObjectMeta(name=event_name(order, event.about), namespace=order.namespace),
        event_time=datetime.now(UTC),
        regarding=client.V1ObjectReference(
            api_version=API_VERSION,
            kind=ORDER_KIND,
            namespace=order.namespace,
            name=order.name,
            uid=order.uid,
        ),
        type=event.kind,
        reason=event.reason,
        action="ReflectWorkflow",
        note=event.note[:1024],
        reporting_controller=f"{GROUP}/{FIELD_MANAGER}",
        reporting_instance=identity,
    )
    try:
        await api.create_event(order.namespace, body)
    except (Conflict, NotFound):
        pass
    except TryLater as failed:
        logger.warning("event not posted", extra={"resource": order.reference, "uid": order.uid, "error": str(failed)})
