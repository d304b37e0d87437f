"""`order-operator prepare-temporal`: what orders need of Temporal is there, or it is said who has to make it.

Makes namespaces, search attributes and Nexus endpoints that are missing. What exists is left as it is, even where it
differs: others may rely on it. Where the server keeps such calls for administrators it prints theirs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    CreateNexusEndpointRequest,
    ListNexusEndpointsRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.commands.patience import Patience
from order_operator.temporal.connection import RESERVED, RPC_SECONDS
from order_workflows.contract import SEARCH_ATTRIBUTES

_RPC_TIMEOUT = timedelta(seconds=RPC_SECONDS)
_TYPES: Mapping[IndexedValueType.ValueType, str] = {
    IndexedValueType.INDEXED_VALUE_TYPE_BOOL: "Bool",
    IndexedValueType.INDEXED_VALUE_TYPE_DATETIME: "Datetime",
    IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE: "Double",
    IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST: "KeywordList",
    IndexedValueType.INDEXED_VALUE_TYPE_TEXT: "Text",
}
"""As Temporal's own tool spells them."""


@dataclass(frozen=True)
class Endpoint:
    """A Nexus endpoint, and the worker behind it."""

    name: str
    namespace: str
    task_queue: str


@dataclass(frozen=True)
class Wanted:
    """What there should be."""

    namespaces: Sequence[str]
    """Without search attributes, beside the one of the orders."""
    retention: timedelta
    """Of a namespace that is made."""
    endpoints: Sequence[Endpoint]


class Preparation:
    """One look at Temporal, with what is missing made on the way unless `dry_run`."""

    def __init__(
        self, client: Client, wanted: Wanted, patience: Patience, say: Callable[[str], None], *, dry_run: bool
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._patience = patience
        self._say = say
        self._dry_run = dry_run
        self.lacking = 0
        """How many things are missing still."""

    async def run(self) -> None:
        """Raises RPCError or RuntimeError where Temporal does not answer."""
        for namespace in dict.fromkeys((self._client.namespace, *self._wanted.namespaces)):
            await self._namespace(namespace)
        await self._search_attributes(self._client.namespace)
        for endpoint in self._wanted.endpoints:
            await self._endpoint(endpoint)

    async def _namespace(self, name: str) -> None:
        try:
            await self._patience.ask(lambda: self._described(name))
        except RPCError as failed:
            if failed.status is not RPCStatusCode.NOT_FOUND:
                raise
        else:
            self._say(f"namespace {name}: is there")
            return
        period = Duration()
        period.FromTimedelta(self._wanted.retention)
        request = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=period)
        hours = int(self._wanted.retention.total_seconds() // 3600)
        made = await self._make(
            f"namespace {name}",
            f"temporal operator namespace create --namespace {name} --retention {hours}h",
            lambda: self._client.workflow_service.register_namespace(request, timeout=_RPC_TIMEOUT),
        )
        while made and not self._patience.ended:  # the server's parts hear of it one after the other
            try:
                await self._described(name)
                await self._listed(name)
            except RPCError as failed:
                if failed.status is not RPCStatusCode.NOT_FOUND:
                    return
                await self._patience.pause()
            else:
                return

    async def _described(self, name: str) -> object:
        request = DescribeNamespaceRequest(namespace=name)
        return await self._client.workflow_service.describe_namespace(request, timeout=_RPC_TIMEOUT)

    async def _listed(self, namespace: str) -> Mapping[str, IndexedValueType.ValueType]:
        request = ListSearchAttributesRequest(namespace=namespace)
        answer = await self._client.operator_service.list_search_attributes(request, timeout=_RPC_TIMEOUT)
        return answer.custom_attributes

    async def _search_attributes(self, namespace: str) -> None:
        known: Mapping[str, IndexedValueType.ValueType] = {}
        try:
            known = await self._patience.ask(lambda: self._listed(namespace))
        except RPCError as failed:
            if failed.status in RESERVED:
                self._say("search attributes: this server does not tell which there are; the operator will")
                return
            if failed.status is not RPCStatusCode.NOT_FOUND:
                raise
        for key in SEARCH_ATTRIBUTES:
            wanted = IndexedValueType.ValueType(key.indexed_value_type)
            found = known.get(key.name)
            if found == wanted:
                self._say(f"search attribute {key.name}: is there")
            elif found is not None:
                self.lacking += 1
                self._say(f"search attribute {key.name}: is {_TYPES.get(found)}, orders need {_TYPES[wanted]}")
            else:
                request = AddSearchAttributesRequest(namespace=namespace, search_attributes={key.name: wanted})
                await self._make(
                    f"search attribute {key.name}",
                    f"temporal operator search-attribute create --namespace {namespace} --name {key.name} "
                    f"--type {_TYPES[wanted]}",
                    partial(self._client.operator_service.add_search_attributes, request, timeout=_RPC_TIMEOUT),
                )

    async def _endpoint(self, endpoint: Endpoint) -> None:
        listing = ListNexusEndpointsRequest(name=endpoint.name)
        by_hand = (
            f"temporal operator nexus endpoint create --name {endpoint.name} --target-namespace {endpoint.namespace} "
            f"--target-task-queue {endpoint.task_queue}"
        )
        try:
            answer = await self._patience.ask(
                lambda: self._client.operator_service.list_nexus_endpoints(listing, timeout=_RPC_TIMEOUT)
            )
        except RPCError as failed:
            if failed.status not in RESERVED:
                raise
            self._say(f"Nexus endpoint {endpoint.name}: this server does not tell; where it is missing: {by_hand}")
            return
        for found in answer.endpoints:
            target = found.spec.target.worker
            if (target.namespace, target.task_queue) == (endpoint.namespace, endpoint.task_queue):
                self._say(f"Nexus endpoint {endpoint.name}: is there")
            else:
                self.lacking += 1
                self._say(f"Nexus endpoint {endpoint.name}: leads to {target.namespace}/{target.task_queue}")
            return
        worker = EndpointTarget.Worker(namespace=endpoint.namespace, task_queue=endpoint.task_queue)
        spec = EndpointSpec(name=endpoint.name, target=EndpointTarget(worker=worker))
        request = CreateNexusEndpointRequest(spec=spec)
        await self._make(
            f"Nexus endpoint {endpoint.name}",
            by_hand,
            lambda: self._client.operator_service.create_nexus_endpoint(request, timeout=_RPC_TIMEOUT),
        )

    async def _make(self, what: str, by_hand: str, call: Callable[[], Awaitable[object]]) -> bool:
        """Whether it is there now."""
        if self._dry_run:
            self.lacking += 1
            self._say(f"{what}: is missing, would run: {by_hand}")
            return False
        try:
            await self._patience.ask(call)
        except RPCError as refused:
            if refused.status is RPCStatusCode.ALREADY_EXISTS:  # somebody was quicker
                self._say(f"{what}: is there")
                return True
            if refused.status not in RESERVED:
                raise
            self.lacking += 1
            self._say(f"{what}: is missing and may not be made from here; let an administrator run: {by_hand}")
            return False
        self._say(f"{what}: made")
        return True
