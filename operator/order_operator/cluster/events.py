"""Kubernetes Events about a resource of ours, whatever its kind: each occasion is told once."""

import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from kubernetes.aio import client

from order_operator import metrics
from order_operator.background import Background
from order_operator.cluster.api import Conflict, KubernetesApi, NotFound
from order_operator.cluster.api_names import API_VERSION, FIELD_MANAGER, GROUP
from order_operator.cluster.event_reasons import EventReason
from order_operator.cluster.resource import Resource
from order_operator.sliding_window import SlidingWindow
from order_operator.work_queue import TryLater

EVENTS_A_MINUTE = 600
"""Of all resources together. When ten thousand orders fail at once, their statuses tell it; events would only keep the
API server from writing those."""
MINUTE = 60.0

MAX_OF_NAME = 200
"""Characters of a resource's name in the name of its events."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """What is told of a resource."""

    occasion: str
    """What tells it from the other events of the resource."""
    kind: Literal["Normal", "Warning"]
    reason: str
    note: str


def event_name(resource: Resource, occasion: str) -> str:
    """The same for the same occasion, so that it is posted once. Within the 253 characters of a name."""
    words = re.sub(r"[^a-z0-9.]+", "-", occasion.lower())
    return f"{resource.name[:MAX_OF_NAME].rstrip('-.')}.{resource.uid[:8]}.{words}"


def status_refused(refusal: str) -> Event:
    """The API server refuses the resource's status, which therefore shows what was, and says why."""
    note = f"the status is not up to date, the API server refuses it: {refusal}"
    return _refused(EventReason.STATUS_REFUSED, note, refusal)


def finalizer_refused(refusal: str, *, present: bool) -> Event:
    """The API server refuses the write that puts our finalizer on the resource (`present`), or takes it off."""
    means = "a deletion does not wait for the order to be undone" if present else "the deleted order cannot go"
    return _refused(EventReason.FINALIZER_REFUSED, f"{means}, the API server refuses the finalizer: {refusal}", refusal)


def _refused(reason: EventReason, note: str, refusal: str) -> Event:
    occasion = f"{reason}.{hashlib.sha256(refusal.encode()).hexdigest()[:8]}"
    return Event(occasion, "Warning", reason, note)


class EventRecorder:
    """Posts events beside what it is called from. Best effort: one that cannot be posted is logged."""

    def __init__(self, api: KubernetesApi, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`identity` names this process."""
        self._api = api
        self._identity = identity
        self._posted = SlidingWindow(EVENTS_A_MINUTE, MINUTE, clock)
        self._background = Background()

    def tell(self, resource: Resource, event: Event) -> None:
        """Post `event` about `resource`, unless it was posted before, or too many were within a minute."""
        if self._posted.full:
            metrics.EVENTS_LEFT_OUT.inc()
            return
        self._posted.note()
        self._background.spawn(_post(self._api, resource, event, self._identity))


async def _post(api: KubernetesApi, resource: Resource, event: Event, identity: str) -> None:
    body = client.EventsV1Event(
        metadata=client.V1ObjectMeta(name=event_name(resource, event.occasion), namespace=resource.namespace),
        event_time=datetime.now(UTC),
        regarding=client.V1ObjectReference(
            api_version=API_VERSION,
            kind=resource.kind,
            namespace=resource.namespace,
            name=resource.name,
            uid=resource.uid,
        ),
        type=event.kind,
        reason=event.reason,
        action="ReflectWorkflow",
        note=event.note[:1024],
        reporting_controller=f"{GROUP}/{FIELD_MANAGER}",
        reporting_instance=identity,
    )
    try:
        await api.create_event(resource.namespace, body)
    except (Conflict, NotFound):
        pass
    except TryLater as failed:
        about = {"kind": resource.kind, "resource": resource.reference}
        logger.warning("event not posted", extra={**about, "reason": event.reason, "error": str(failed)})
