"""The connection to Temporal, and whether Temporal is fit to carry orders: reachable, namespace there, search
attributes of the right type (created when allowed). While it is not, orders wait and say why; none fails."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import PayloadCodec
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, RPCStatusCode

from order_operator import metrics
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_workflows.contract import SEARCH_ATTRIBUTES

CHECK_SECONDS = 30.0
"""How often a healthy Temporal is checked again: a search attribute can be removed in flight."""
RETRY_SECONDS = 2.0
RPC_SECONDS = 5.0

TASK_PROBLEMS = "TemporalReportedProblems"
"""The server's own search attribute of workflows whose task has failed or timed out five times in a row; the server
takes it off when one succeeds. Servers from before autumn 2025 do not have it."""

_NAMED = {
    RPCStatusCode.PERMISSION_DENIED: (
        Reason.TEMPORAL_PERMISSION_DENIED,
        "Temporal does not let the operator do this: give its identity the rights of a writer in the namespace",
    ),
    RPCStatusCode.UNAUTHENTICATED: (
        Reason.TEMPORAL_UNAUTHENTICATED,
        "Temporal does not accept the operator's API key or certificate: renew it",
    ),
    RPCStatusCode.RESOURCE_EXHAUSTED: (
        Reason.TEMPORAL_RATE_LIMITED,
        "Temporal limits the requests of this namespace; this goes on by itself later",
    ),
    RPCStatusCode.UNIMPLEMENTED: (
        Reason.TEMPORAL_UNAVAILABLE,
        "the server at Temporal's address does not know this call: is it Temporal's frontend, and new enough?",
    ),
}
"""What an answer means that is no outage."""


def _named(failed: RPCError) -> Problem | None:
    if failed.status not in _NAMED:
        return None
    reason, message = _NAMED[failed.status]
    return Problem(reason, f"{message} ({failed.message})"[:1024])


NOT_ANSWERED = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal has not answered yet")
"""Before the first check is through: nothing is known of Temporal, not even that it is away."""

UNREACHABLE = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal cannot be reached; this goes on by itself later")

_REFUSED = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.NOT_FOUND})

logger = logging.getLogger(__name__)


class TemporalConnection:
    """Holds the client and the present problem, if any."""

    def __init__(self, client: Client, *, create_search_attributes: bool) -> None:
        self.client = client
        """May be replaced while the operator runs; nobody else keeps it."""
        self._create = create_search_attributes
        self._changed: list[Callable[[], None]] = []
        self._check_now = asyncio.Event()
        self._cause = ""
        self.reports_task_problems = False
        """Whether the server has `TASK_PROBLEMS`; a query that names an unknown attribute is refused whole."""
        self.problem: Problem | None = NOT_ANSWERED

    @classmethod
    async def connect(
        cls, *, create_search_attributes: bool, codec: PayloadCodec | None = None
    ) -> "TemporalConnection":
        """Lazy: the first call connects, so that the operator starts while Temporal is away. `codec` decodes and
        encodes every payload; without one they are as the workers without one write them."""
        config = ClientConfig.load_client_connect_config()
        config.setdefault("target_host", "localhost:7233")
        converter = replace(pydantic_data_converter, payload_codec=codec)
        client = await Client.connect(**config, data_converter=converter, lazy=True)
        return cls(client, create_search_attributes=create_search_attributes)

    def on_recovery(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever a problem has gone, and once the first check is through."""
        self._changed.append(callback)

    def lost(self) -> None:
        """Some call found Temporal unreachable: check at once instead of at the next turn."""
        self._check_now.set()

    def problem_of(self, failed: RPCError) -> Problem:
        """What a failed call means for the resource for which it was made."""
        if failed.status in _REFUSED:
            return Problem(
                Reason.TEMPORAL_REFUSED, f"Temporal refused the workflow: {failed.message}"[:1024], stalled=True
            )
        named = _named(failed)
        if named is None:
            self.lost()
        return named or UNREACHABLE

    async def watch(self) -> None:
        """Keep `problem` true to the facts until cancelled."""
        while True:
            before, self.problem = self.problem, await self._check()
            metrics.TEMPORAL_REACHABLE.set(self.problem is None)
            if self.problem is None and before is not None:
                self._cause = ""
                logger.info("Temporal is ready for orders", extra={"namespace": self.client.namespace})
                for callback in self._changed:
                    callback()
            elif self.problem is not None and self.problem != before:
                logger.warning("orders wait: %s", self.problem.message, extra={"reason": self.problem.reason})
                if before is NOT_ANSWERED:
                    for callback in self._changed:
                        callback()
            self._check_now.clear()
            try:
                async with asyncio.timeout(CHECK_SECONDS if self.problem is None else RETRY_SECONDS):
                    await self._check_now.wait()
                    # Several calls may fail at once, and each says so: one check answers them all.
                    await asyncio.sleep(RETRY_SECONDS / 4)
            except TimeoutError:
                continue

    async def _check(self) -> Problem | None:
        namespace = self.client.namespace
        try:
            async with asyncio.timeout(2 * RPC_SECONDS):
                await self.client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
                return await self._check_search_attributes(namespace)
        except (RPCError, RuntimeError, TimeoutError) as failed:
            if isinstance(failed, RPCError) and failed.status is RPCStatusCode.NOT_FOUND:
                return Problem(
                    Reason.TEMPORAL_NAMESPACE_NOT_FOUND,
                    f"Temporal has no namespace {namespace!r}: create it; orders go on by themselves then",
                )
            problem = _named(failed) if isinstance(failed, RPCError) else None
            if problem is None and str(failed) != self._cause:
                self._cause = str(failed)
                logger.warning("Temporal cannot be reached", extra={"error": self._cause[:500]})
            return problem or UNREACHABLE

    async def _check_search_attributes(self, namespace: str) -> Problem | None:
        service = self.client.operator_service
        try:
            answer = await service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
        except RPCError as refused:
            if refused.status not in _RESERVED:
                raise
            return await self._try_search_attributes(namespace)
        self.reports_task_problems = TASK_PROBLEMS in answer.system_attributes
        missing: dict[str, IndexedValueType.ValueType] = {}
        for key in SEARCH_ATTRIBUTES:
            wanted = IndexedValueType.ValueType(key.indexed_value_type)
            found = answer.custom_attributes.get(key.name)
            if found is None:
                missing[key.name] = wanted
            elif found != wanted:
                return Problem(
                    Reason.SEARCH_ATTRIBUTE_TYPE_MISMATCH,
                    f"search attribute {key.name} of Temporal namespace {namespace!r} has type "
                    f"{IndexedValueType.Name(found)} but orders need {IndexedValueType.Name(wanted)}",
                )
        if not missing:
            return None
        if not self._create:
            return Problem(
                Reason.SEARCH_ATTRIBUTES_MISSING,
                f"Temporal namespace {namespace!r} lacks the search attributes {', '.join(missing)}: "
                "register them with `temporal operator search-attribute create`",
            )
        logger.info("registering search attributes %s", ", ".join(missing))
        try:
            await service.add_search_attributes(
                AddSearchAttributesRequest(namespace=namespace, search_attributes=missing)
            )
        except RPCError as refused:
            if refused.status is not RPCStatusCode.ALREADY_EXISTS:
                raise
        return None

    async def _try_search_attributes(self, namespace: str) -> Problem | None:
        """Where the service of administrators is not for us, a query that names the attributes tells whether they are
        there, and of the right type."""
        names = " AND ".join(f"{key.name} IS NOT NULL" for key in SEARCH_ATTRIBUTES)
        try:
            await self.client.workflow_service.list_workflow_executions(
                ListWorkflowExecutionsRequest(namespace=namespace, page_size=1, query=names)
            )
        except RPCError as refused:
            if refused.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            wanted = ", ".join(
                f"{key.name} ({IndexedValueType.Name(IndexedValueType.ValueType(key.indexed_value_type))})"
                for key in SEARCH_ATTRIBUTES
            )
            return Problem(
                Reason.SEARCH_ATTRIBUTES_MISSING,
                f"Temporal namespace {namespace!r} lacks search attributes ({refused.message}), and the operator may "
                f"not register them. Orders need {wanted}"[:1024],
            )
        return None


_RESERVED = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.UNAUTHENTICATED})
"""Answers of a server that keeps the operator service for administrators."""
