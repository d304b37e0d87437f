"""`order-operator check`: is this installation able to carry orders? `helm test` runs it."""

from collections.abc import Awaitable, Callable
from functools import partial

from kubernetes.aio import client
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.service import RPCError

from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.commands.patience import Patience, told
from order_operator.orders.classes import OrderClasses
from order_operator.preconditions import Preconditions, Unmet
from order_operator.settings import Settings
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.task_queues import has_workers
from order_operator.work_queue import TryLater

_TYPES = {
    "workflows": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activities": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


class Check:
    """Asks each part in turn; a part that has just started is asked again as long as there is patience."""

    def __init__(
        self,
        api: client.ApiClient,
        connection: TemporalConnection,
        settings: Settings,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        self._api = KubernetesApi(api)
        self._leases = client.CoordinationV1Api(api)
        self._connection = connection
        self._settings = settings
        self._patience = patience
        self._say = say

    async def run(self) -> bool:
        """Whether every part is fit."""
        parts: dict[str, Callable[[], Awaitable[str]]] = {
            "kinds": self._kinds,
            "classes": self._classes,
            "operator": self._operator,
            "Temporal": self._temporal,
            "workers": self._workers,
        }
        fit = True
        for name, part in parts.items():
            found, words = await self._asked(part)
            self._say(f"{'ok  ' if found else 'FAIL'} {name}: {words}")
            fit = fit and found
        return fit

    async def _asked(self, part: Callable[[], Awaitable[str]]) -> tuple[bool, str]:
        while True:
            try:
                return True, await part()
            except (Unmet, NotFound, TryLater, RPCError, RuntimeError, client.ApiException, OSError) as failed:
                if self._patience.ended:
                    return False, told(failed)
            await self._patience.pause()

    async def _kinds(self) -> str:
        await Preconditions(self._api).look_at_kinds()
        return "Order, OrderClass and StockItem are as this release knows them"

    async def _classes(self) -> str:
        classes = OrderClasses()
        bodies, _ = await self._api.list_order_classes()
        for body in bodies:
            classes.put(body)
        if not classes.names:
            raise Unmet("there is no valid OrderClass")
        default = classes.default
        if default is not None and (flaw := classes.flaw(default)):
            raise Unmet(f"the default OrderClass {default} is invalid: {flaw}")
        return (
            f"{', '.join(classes.names)}; orders that name none follow {default}"
            if default
            else f"{', '.join(classes.names)}; none is the default, so that each order has to name one"
        )

    async def _operator(self) -> str:
        name, home = self._settings.lease_name, self._settings.lease_namespace
        read = partial(self._leases.read_namespaced_lease, name, home)
        first = _version(await read())
        await self._patience.pause()
        while (leader := _holder(again := await read())) == "" or _version(again) == first:
            if self._patience.ended:
                raise Unmet(f"nobody renews the Lease {home}/{name}: kubectl logs says why no operator leads")
            await self._patience.pause()
        return f"{leader} leads"

    async def _temporal(self) -> str:
        problem = await self._connection.check()
        if problem is not None:
            raise Unmet(problem.message)
        return f"namespace {self._connection.client.namespace} has every search attribute"

    async def _workers(self) -> str:
        queue = self._settings.task_queue
        for of, kind in _TYPES.items():
            if not await has_workers(self._connection.client, queue, kind):
                raise Unmet(f"no worker asks for {of} of the task queue {queue}")
        return f"the task queue {queue} is asked for workflows and activities"


def _version(lease: client.V1Lease) -> str:
    return str(lease.metadata.resource_version) if lease.metadata else ""


def _holder(lease: client.V1Lease) -> str:
    return (lease.spec.holder_identity or "") if lease.spec else ""
