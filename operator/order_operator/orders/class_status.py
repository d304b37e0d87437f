"""The status of an OrderClass: whether orders can follow it, and if not, what is wrong with it."""

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from order_domain.value import Value
from order_operator.cluster.api import Conflict, KubernetesApi, NotFound
from order_operator.cluster.api_names import ORDER_CLASSES
from order_operator.cluster.conditions import MAX_CONDITIONS, Condition, ConditionSet, ConditionType, Reason
from order_operator.orders.classes import OrderClasses
from order_operator.work_queue import WorkQueue


class OrderClassResourceStatus(Value):
    """Whether orders can follow the class. Written by the operator only."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Newest metadata.generation that was judged."""
    conditions: Annotated[list[Condition], Field(max_length=MAX_CONDITIONS)] = Field(default_factory=list)
    """`Ready`: False with the flaw of the pipeline, or of another field."""


def class_status(body: Mapping[str, Any], flaw: str | None, now: datetime) -> dict[str, Any]:
    """The `.status` of the class `body`, as JSON; `flaw` names the field and what to do."""
    generation = int(body["metadata"].get("generation", 1))
    conditions = ConditionSet((body.get("status") or {}).get("conditions") or [], generation, now)
    if flaw is None:
        conditions.set(ConditionType.READY, True, Reason.VALID)
    else:
        conditions.set(ConditionType.READY, False, Reason.CLASS_INVALID, flaw)
    return {"observedGeneration": generation, "conditions": conditions.build()}


class ClassStatuses:
    """Keeps the statuses of all classes."""

    def __init__(self, api: KubernetesApi, classes: OrderClasses, may_act: Callable[[], bool]) -> None:
        """`may_act`: whether this process leads, asked before each write."""
        self._api = api
        self._classes = classes
        self._may_act = may_act
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self.queue = WorkQueue(self._reconcile, concurrency=1, handler=ORDER_CLASSES)

    def put(self, body: Mapping[str, Any]) -> None:
        """One version of a class, which `classes` has judged."""
        name = body["metadata"]["name"]
        self._bodies[name] = body
        self.queue.add(name)

    def remove(self, name: str) -> None:
        """The class is gone."""
        self._bodies.pop(name, None)

    async def _reconcile(self, name: str) -> float | None:
        body = self._bodies.get(name)
        if body is None or not self._may_act():
            return None
        status = class_status(body, self._classes.flaw(name), datetime.now(UTC))
        if status == body.get("status"):
            return None
        with contextlib.suppress(Conflict, NotFound):  # the watch, or the next list, brings what is there now
            await self._api.write_class_status(body, status)
        return None
