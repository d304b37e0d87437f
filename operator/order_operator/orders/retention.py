"""Finished orders do not stay for ever: they are deleted after a time, and beyond a number per namespace and class.

What is kept of each finished order is enough to tell when its time has come; what its class says is looked up then, so
that an edited class holds for the orders that are there. The ledger keeps the order in any case.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from temporalio.service import RPCError

from order_domain.policy import OrderClassSpec
from order_operator import metrics
from order_operator.cluster.api import ApiRefused, Conflict, KubernetesApi, NotFound
from order_operator.orders.adoption import describe_order
from order_operator.orders.classes import OrderClasses
from order_operator.orders.resource import OrderResource
from order_operator.orders.tracking import Finished
from order_operator.temporal.connection import TemporalConnection
from order_operator.work_queue import TryLater

PASS_SECONDS = 5.0
"""Between two looks at all finished orders."""
LONGEST_PASS_SECONDS = 60.0
SHARE_OF_TIME = 0.005
"""Of a core at the most for these looks, but one is made every minute: with a hundred thousand, in every cache of the
processor other data, each takes a tenth of a second."""
DELETE_SECONDS = 0.2
"""Between two deletions: five a second leave the API server to the orders that run."""
MOST_PER_PASS = int(PASS_SECONDS / DELETE_SECONDS)
REFUSED_SECONDS = 600.0
"""An order whose deletion the API server refused is left out for so long, so that it does not block the others."""

logger = logging.getLogger(__name__)


class Why(StrEnum):
    """Why an order is deleted; label of the metric."""

    TTL = "ttl"
    HISTORY_LIMIT = "history_limit"


class Expired(NamedTuple):
    """An order that is to be deleted."""

    order: OrderResource
    why: Why


def expired(
    finished: Iterable[tuple[OrderResource, Finished]], classes: Callable[[str], OrderClassSpec | None], now: float
) -> list[Expired]:
    """Those of the `finished` orders whose time has come at `now`, in seconds since the epoch; the oldest first."""
    policies: dict[str | None, OrderClassSpec | None] = {None: None}
    found: list[tuple[float, Expired]] = []
    kept: defaultdict[tuple[str, str | None, int], list[tuple[float, OrderResource]]] = defaultdict(list)
    for order, end in finished:
        name = end.class_name
        if name not in policies:
            policies[name] = classes(name) if name else None
        spec = policies[name]
        ttl = spec.ttl_seconds_after_finished if spec and end.ttl_seconds is None else end.ttl_seconds
        if ttl is not None and end.at + ttl <= now:
            found.append((end.at, Expired(order, Why.TTL)))
        elif spec is not None and spec.history_limit is not None:
            kept[order.namespace, name, spec.history_limit].append((end.at, order))
    for (_, _, limit), ends in kept.items():
        if len(ends) > limit:
            ends.sort(key=lambda item: (item[0], item[1].uid))
            found.extend((at, Expired(order, Why.HISTORY_LIMIT)) for at, order in ends[: len(ends) - limit])
    found.sort(key=lambda item: item[0])
    return [item for _, item in found]


def between_passes(cost: float) -> float:
    """Seconds until the next look, when one has taken `cost` seconds of a core."""
    return min(LONGEST_PASS_SECONDS, max(PASS_SECONDS, cost / SHARE_OF_TIME))


class Retention:
    """Deletes expired orders, slowly. Starts from what `finished` yields at each pass."""

    def __init__(
        self,
        api: KubernetesApi,
        connection: TemporalConnection,
        classes: OrderClasses,
        finished: Callable[[], Iterable[tuple[OrderResource, Finished]]],
    ) -> None:
        self._api = api
        self._connection = connection
        self._classes = classes
        self._finished = finished
        self._refused: dict[str, float] = {}

    async def run(self) -> None:
        """Pass after pass until cancelled."""
        pause = PASS_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                pause = between_passes(await self.take(time.time()))
            except (RPCError, RuntimeError, TryLater) as failed:
                logger.warning("finished orders not deleted", extra={"error": str(failed)})

    async def take(self, now: float) -> float:
        """One pass; `now` in seconds since the epoch. How many seconds of a core it took to find what is to be deleted,
        none if there is more to do."""
        if self._connection.problem is not None:
            return 0.0
        began = time.thread_time()
        self._refused = {uid: at for uid, at in self._refused.items() if at + REFUSED_SECONDS > now}
        due = self._due(now)
        cost = 0.0 if due else time.thread_time() - began
        if due:
            # What is due by a clock that is ahead would be gone too early. This one may be; the servers' agree.
            at = await self._api.time()
            due = due if at is None else self._due(at)
        for order, why in due[:MOST_PER_PASS]:
            if await self._is_running(order):
                self._refused[order.uid] = now
                logger.warning(
                    "a finished order's workflow runs; not deleted",
                    extra={"resource": order.reference, "uid": order.uid},
                )
                continue
            try:
                await self._api.delete(order)
            except (Conflict, NotFound):
                continue  # edited or deleted meanwhile: the watch brings it
            except ApiRefused as failed:
                if failed.status not in _REFUSALS:
                    raise
                self._refused[order.uid] = now
                logger.warning(
                    "a finished order may not be deleted", extra={"resource": order.reference, "uid": order.uid}
                )
                continue
            metrics.EXPIRED.labels(reason=why.value).inc()
            logger.info(
                "deleted a finished order", extra={"resource": order.reference, "uid": order.uid, "reason": why.value}
            )
            await asyncio.sleep(DELETE_SECONDS)
        return cost

    def _due(self, now: float) -> list[Expired]:
        found = expired(self._finished(), self._classes.spec, now)
        return [item for item in found if item.order.uid not in self._refused]

    async def _is_running(self, order: OrderResource) -> bool:
        """A status can be forged: only Temporal itself is believed before something is deleted."""
        observation = await describe_order(self._connection.client, order)
        return observation is not None and observation.running


_REFUSALS = frozenset({400, 403, 422})
"""Answers of rights and admission policies."""
