"""`order-operator before-uninstall`: no order that is still open is left to nobody, unless that was asked for.

The chart runs it as a hook of `helm uninstall`, before Helm takes anything away. It stops the operator itself and
waits until the Lease is free: Helm takes the rights away a moment after the Deployment, so that the operator's last
writes were refused and a reinstallation waited for the Lease of a process that was gone.
"""

import asyncio
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from kubernetes.aio import client

from order_operator.cluster.api_names import FINALIZER, GROUP, ORDERS, VERSION
from order_operator.cluster.leadership import LEASE_DURATION_SECONDS, running_clock
from order_operator.commands.order_list import all_orders
from order_operator.commands.patience import Patience
from order_operator.orders.resource import OrderResource

_MERGE = "application/merge-patch+json"
_SHOWN = 10
STOP_SECONDS = 45.0
"""How long an operator that was told to end may go on renewing its Lease: its pod is killed before. The Job has a
minute beside its patience."""
HOLD_SECONDS = 10.0
"""How long open orders are held again and again, while somebody orders or takes the finalizer off."""
REASON = "order-platform is being uninstalled"


class OpenOrders(StrEnum):
    """What becomes of the orders that are still open."""

    REFUSE = "refuse"
    """Nothing is uninstalled while there are any."""
    CANCEL = "cancel"
    """They are cancelled, and their end is waited for."""
    LEAVE = "leave"
    """They stay, each held by the finalizer: a deletion waits for the next operator. Their workflows go on."""


@dataclass(frozen=True)
class Installation:
    """What is about to go."""

    namespaces: tuple[str, ...]
    """Of the orders; empty: all."""
    home: str
    """Namespace of the Deployment and the Lease."""
    deployment: str
    lease: str
    way_back: str = ""
    """The command after which Helm upgrades again what it was refused to uninstall; empty outside Helm."""


class Uninstallation:
    """One run of the command."""

    def __init__(
        self, api: client.ApiClient, installation: Installation, patience: Patience, say: Callable[[str], None]
    ) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._apps = client.AppsV1Api(api)
        self._leases = client.CoordinationV1Api(api)
        self._of = installation
        self._patience = patience
        self._say = say
        self._told_to_end = False

    async def run(self, wish: OpenOrders) -> bool:
        """Whether the uninstallation may go on. SIGTERM, at a deadline of the Job say, ends it, and the operator goes
        on. Raises ApiException."""
        loop, work = asyncio.get_running_loop(), asyncio.ensure_future(self._run(wish))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, work)
        try:
            return await work
        except asyncio.CancelledError:
            if not self._told_to_end:
                raise
            self._say("told to end before the operator was stopped: it goes on; uninstall again")
            return False
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _end(self, work: asyncio.Task[bool]) -> None:
        """Once: a second signal must not keep the operator from being started again."""
        if not self._told_to_end:
            self._told_to_end = True
            work.cancel()

    async def _run(self, wish: OpenOrders) -> bool:
        if wish is OpenOrders.REFUSE and (found := await self._open()):
            self._refuse(found)
            return False
        if wish is OpenOrders.CANCEL and not await self._cancel():
            return False
        replicas, stopped = await self._replicas(), False
        try:
            await self._scale(0)
            stopped = await self._stop(wish)
        finally:
            if not stopped:  # for whatever reason: the installation stays, and orders need their operator
                await self._scale(replicas)
        return stopped

    async def _stop(self, wish: OpenOrders) -> bool:
        """With the operator on its way out. Raises ApiException."""
        if not await self._lease_is_free():
            return False
        held: list[OrderResource] | None = []
        if wish is OpenOrders.LEAVE:
            held = await self._hold_all()
            if held is None:
                return False
        elif late := await self._open():  # ordered in the last seconds
            self._refuse(late)
            return False
        await self._forget_the_lease()
        self._say("the operator is stopped" + (f"; {len(held)} open orders stay, each held" if held else ""))
        return True

    def _refuse(self, found: list[OrderResource]) -> None:
        self._say(f"{len(found)} orders are still open:")
        for order in found[:_SHOWN]:
            self._say(f"  {order.namespace}/{order.name}: {order.status.get('phase', 'not looked at yet')}")
        self._say(
            "Let them end, or delete them while the operator runs, and uninstall again. Or set uninstall.openOrders by "
            "helm upgrade: cancel cancels them and waits for their ends, leave leaves them to the next installation. "
            "helm uninstall --no-hooks asks nothing."
        )
        if self._of.way_back:
            self._say(f"Helm calls the release uninstalling now, and upgrades it only after: {self._of.way_back}")

    async def _open(self) -> list[OrderResource]:
        """Orders that have not ended."""
        return [
            order async for order in all_orders(self._objects, self._of.namespaces, self._patience) if not order.ended
        ]

    async def _cancel(self) -> bool:
        """Cancel all that are open, and wait for their ends; also those that are ordered meanwhile."""
        asked: set[str] = set()
        while found := await self._open():
            for order in found:
                if order.uid not in asked and not order.spec.get("cancellation"):
                    await self._patch(order, {"spec": {"cancellation": {"reason": REASON}}})
                    asked.add(order.uid)
            if self._patience.ended:
                self._say("not all orders that were cancelled have ended:")
                self._refuse(found)
                return False
            await self._patience.pause()
        if asked:
            self._say(f"{len(asked)} orders were cancelled and have ended")
        return True

    async def _hold_all(self) -> list[OrderResource] | None:
        """All that are open, each held; None if there is always another one that is not. One that somebody has edited
        meanwhile is looked at again; one that is being deleted takes no finalizer any more."""
        began = running_clock()
        while True:
            found = await self._open()
            lacking = [order for order in found if not order.held and not order.deleting]
            if not lacking:
                return [order for order in found if order.held]
            for order in lacking:
                finalizers = {"resourceVersion": order.resource_version, "finalizers": [*order.finalizers, FINALIZER]}
                await self._patch(order, {"metadata": finalizers}, harmless=frozenset({404, 409}))
            if running_clock() - began > HOLD_SECONDS:
                self._say(f"{len(lacking)} open orders could not be held in time: let nobody order meanwhile")
                return None
            await self._patience.pause()

    async def _patch(
        self, order: OrderResource, change: dict[str, Any], *, harmless: Collection[int] = frozenset({404})
    ) -> None:
        """One that is gone needs none."""
        call = partial(
            self._objects.patch_namespaced_custom_object,
            GROUP,
            VERSION,
            order.namespace,
            ORDERS,
            order.name,
            change,
            _content_type=_MERGE,
        )
        try:
            await self._patience.ask(call)
        except client.ApiException as refused:
            if refused.status not in harmless:
                raise

    async def _replicas(self) -> int:
        """How many operators there are to be. A Deployment that somebody has deleted has none."""
        read = partial(self._apps.read_namespaced_deployment_scale, self._of.deployment, self._of.home)
        try:
            scale = await self._patience.ask(read)
        except client.ApiException as refused:
            if refused.status != 404:
                raise
            return 0
        return (scale.spec.replicas if scale.spec else 0) or 0

    async def _scale(self, replicas: int) -> None:
        """To so many operators."""
        scale = partial(
            self._apps.patch_namespaced_deployment_scale,
            self._of.deployment,
            self._of.home,
            {"spec": {"replicas": replicas}},
            _content_type=_MERGE,
        )
        try:
            await self._patience.ask(scale)
        except client.ApiException as refused:
            if refused.status != 404:
                raise

    async def _lease_is_free(self) -> bool:
        """Given back, or not renewed for as long as it lasts. Waits for that, and not for ever."""
        began = since = running_clock()
        seen = ""
        while lease := await self._lease():
            version = str(lease.metadata.resource_version) if lease.metadata else ""
            if version != seen:
                seen, since = version, running_clock()
            held = lease.spec.holder_identity if lease.spec is not None else ""
            if not held or running_clock() - since > LEASE_DURATION_SECONDS:
                return True
            if running_clock() - began > STOP_SECONDS:
                self._say(f"an operator goes on although none should, and renews the Lease {self._of.lease}: {held}")
                return False
            await self._patience.pause()
        return True

    async def _lease(self) -> client.V1Lease | None:
        read = partial(self._leases.read_namespaced_lease, self._of.lease, self._of.home)
        try:
            lease: client.V1Lease = await self._patience.ask(read)
        except client.ApiException as missing:
            if missing.status != 404:
                raise
            return None
        return lease

    async def _forget_the_lease(self) -> None:
        delete = partial(self._leases.delete_namespaced_lease, self._of.lease, self._of.home)
        try:
            await self._patience.ask(delete)
        except client.ApiException as missing:
            if missing.status != 404:
                raise
