"""What the cluster must have before the operator acts. It waits for that however long it takes, and says for what."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.crd.comparison import established, lacking
from order_operator.crd.order import order_crd
from order_operator.crd.order_class import order_class_crd
from order_operator.crd.stock_item import stock_item_crd
from order_operator.orders.classes import OrderClasses
from order_operator.work_queue import TryLater

POLL_SECONDS = 1.0
UPDATE = "helm upgrade order-platform-crds charts/order-platform-crds"

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Unmet(Exception):
    """Something is not there yet; says what, and what to do."""


class Preconditions:
    """`problem` is what is waited for, None if nothing is."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self.problem: str | None = None

    async def kinds(self) -> None:
        """Return once the cluster serves every kind as this release knows it. Asked before this process leads: until
        then an older release may go on."""
        await self._met(self.look_at_kinds)

    async def classes(self, classes: OrderClasses, identity: str) -> str:
        """Fill `classes`, and give the identity of this installation: `identity`, or the cluster's own."""
        return await self._met(partial(self._know, classes, identity))

    async def _met(self, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                met = await attempt()
            except (NotFound, TryLater, Unmet) as failed:  # a fresh API server answers 429 at first
                problem = str(failed)
            else:
                self.problem = None
                return met
            if self.problem != problem:
                logger.warning("waiting: %s", problem)
                self.problem = problem
            await asyncio.sleep(POLL_SECONDS)

    async def look_at_kinds(self) -> None:
        """Raises Unmet for a kind that is missing or older than this release."""
        for wanted in (order_crd(), order_class_crd(), stock_item_crd()):
            name = wanted["metadata"]["name"]
            try:
                live = await self._api.definition(name)
            except NotFound:
                live = {}
            if not established(live):
                raise Unmet(f"the cluster has no {name}: install the chart order-platform-crds")
            lack = lacking(live, wanted)
            if lack is not None:
                message = f"{name} in the cluster is older than this operator, it lacks {lack}: update it with {UPDATE}"
                raise Unmet(message)

    async def _know(self, classes: OrderClasses, identity: str) -> str:
        bodies, _ = await self._api.list_order_classes()
        for body in bodies:
            classes.put(body)
        return identity or await self._api.cluster_identity()
