"""The connection to Temporal, and whether Temporal is fit to carry orders: reachable, namespace there, search
attributes of the right type (created when allowed). While it is not, orders wait and say why; none fails."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from order_codec.converter import compression_of
from order_codec.settings import data_converter
from order_operator import metrics
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.temporal.not_found import lacks_namespace
from order_process import temporal_access
from order_process.temporal_access import Access
from order_process.temporal_refusals import NOT_ACCEPTED, NOT_ALLOWED, refusal
from order_process.temporal_rotation import CONNECT_SECONDS, Rotation
from order_workflows.contract import SEARCH_ATTRIBUTES

CHECK_SECONDS = 30.0
"""How often a healthy Temporal is checked again: a search attribute can be removed in flight."""
RETRY_SECONDS = 2.0
RPC_SECONDS = 5.0

TASK_PROBLEMS = "TemporalReportedProblems"
"""The server's own search attribute of workflows whose task has failed or timed out five times in a row; the server
takes it off when one succeeds. Servers from before autumn 2025 do not have it."""

_NAMED = {
    RPCStatusCode.PERMISSION_DENIED: (Reason.TEMPORAL_PERMISSION_DENIED, NOT_ALLOWED),
    RPCStatusCode.UNAUTHENTICATED: (Reason.TEMPORAL_UNAUTHENTICATED, NOT_ACCEPTED),
    RPCStatusCode.RESOURCE_EXHAUSTED: (
        Reason.TEMPORAL_RATE_LIMITED,
        "Temporal limits the requests of this namespace; the operator tries again by itself",
    ),
    RPCStatusCode.UNIMPLEMENTED: (
        Reason.TEMPORAL_UNAVAILABLE,
        "the server at Temporal's address does not know this call: is it Temporal's frontend, and new enough?",
    ),
}
"""What an answer means that is no outage."""


def _named(failed: RPCError) -> Problem | None:
    """Without the server's words, which may count seconds: each order would be written again each time."""
    return Problem(*_NAMED[failed.status]) if failed.status in _NAMED else None


NOT_ANSWERED = Problem(Reason.TEMPORAL_UNAVAILABLE, "Temporal has not answered yet")
"""Before the first check is through: nothing is known of Temporal, not even that it is away."""

UNREACHABLE = Problem(
    Reason.TEMPORAL_UNAVAILABLE, "Temporal does not answer; the operator tries again every two seconds"
)

_REFUSED = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.NOT_FOUND})

_UNKNOWN_ATTRIBUTE = re.compile(
    r"no mapping defined for search attribute (\S+)|search attribute (\S+) is not defined", re.IGNORECASE
)
"""How Temporal 1.31 and 1.32 say that they do not know a search attribute. A new one is listed at once, but workflows
with it are refused for some seconds: each part of the server keeps what it read of the namespace for so long."""

_LOCKED_OUT = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED})
"""Answers to somebody whose key or certificate counts no more."""
_UNEXPLAINED = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.UNKNOWN, RPCStatusCode.CANCELLED})
"""What the SDK makes of a connection that the other side closes, which it also does for a certificate."""

logger = logging.getLogger(__name__)


class TemporalConnection:
    """Holds the client and the present problem, if any."""

    def __init__(self, client: Client, *, create_search_attributes: bool) -> None:
        self.client = client
        """May be replaced while the operator runs; nobody else keeps it."""
        self._create = create_search_attributes
        self._changed: list[Callable[[], None]] = []
        self._check_now = asyncio.Event()
        self._told = ""
        self.reports_task_problems = False
        """Whether the server has `TASK_PROBLEMS`; a query that names an unknown attribute is refused whole."""
        self.problem: Problem | None = NOT_ANSWERED
        self._rotation: Rotation | None = None

    @classmethod
    async def connect(cls, *, create_search_attributes: bool) -> "TemporalConnection":
        """Lazy: the first call connects, so that the operator starts while Temporal is away. Raises SettingsError."""
        access = temporal_access.read(os.environ)
        converter = data_converter(os.environ)

        async def client(access: Access, *, lazy: bool = False) -> Client:
            return await Client.connect(
                **access.connect_arguments(),
                data_converter=converter,
                grpc_compression=compression_of(converter),
                lazy=lazy,
            )

        made = cls(await client(access, lazy=True), create_search_attributes=create_search_attributes)
        made._rotation = Rotation(os.environ, access, client, made._put)
        made._rotation.changed = made.lost
        made._rotation.tell_end = lambda credential, ends: metrics.TEMPORAL_CREDENTIAL_ENDS.labels(credential).set(ends)
        return made

    def _put(self, client: Client) -> None:
        self.client = client

    async def rotate(self) -> None:
        """Take over keys and certificates that are replaced, until cancelled."""
        if self._rotation is not None:
            await self._rotation.watch(lambda: self.client)

    def on_recovery(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever a problem has gone, and once the first check is through."""
        self._changed.append(callback)

    def lost(self) -> None:
        """Some call found Temporal unreachable: check at once instead of at the next turn."""
        self._check_now.set()

    def problem_of(self, failed: RPCError) -> Problem:
        """What a failed call means for the resource for which it was made."""
        if lacks_namespace(failed):
            self.lost()
            return self._no_namespace
        if failed.status is RPCStatusCode.INVALID_ARGUMENT and (found := _UNKNOWN_ATTRIBUTE.search(failed.message)):
            self.lost()
            return _missing(self.client.namespace, [found[1] or found[2]])
        if failed.status in _REFUSED:
            return Problem(
                Reason.TEMPORAL_REFUSED, f"Temporal refused the workflow: {failed.message}"[:1024], stalled=True
            )
        named = _named(failed)
        if named is None or failed.status in _LOCKED_OUT:
            self.lost()
        return self._flawed(failed) or named or UNREACHABLE

    @property
    def _no_namespace(self) -> Problem:
        why = f"Temporal has no namespace {self.client.namespace!r}: create it; orders go on by themselves then"
        return Problem(Reason.TEMPORAL_NAMESPACE_NOT_FOUND, why)

    @property
    def flaw(self) -> str | None:
        """What is wrong with the operator's own key or certificate, as far as it can tell."""
        return self._rotation.problem if self._rotation is not None else None

    def _flawed(self, failed: Exception) -> Problem | None:
        """That, where Temporal does not let the operator in."""
        flaw = self.flaw
        if flaw is None or (isinstance(failed, RPCError) and failed.status not in (*_LOCKED_OUT, *_UNEXPLAINED)):
            return None
        return Problem(Reason.TEMPORAL_UNAUTHENTICATED, flaw)

    async def watch(self) -> None:
        """Keep `problem` true to the facts until cancelled."""
        while True:
            before, self.problem = self.problem, await self.check()
            metrics.TEMPORAL_REACHABLE.set(self.problem is None)
            if self.problem is None and before is not None:
                self._told = ""
                logger.info("Temporal is ready for orders", extra={"temporal_namespace": self.client.namespace})
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

    async def check(self) -> Problem | None:
        """What stands between Temporal and orders now."""
        namespace = self.client.namespace
        try:
            async with asyncio.timeout(2 * RPC_SECONDS):
                service = self.client.workflow_service
                described = await service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
                columns = {name: column for column, name in described.config.custom_search_attribute_aliases.items()}
                return await self._check_search_attributes(namespace, columns)
        except (RPCError, RuntimeError, TimeoutError) as failed:
            if isinstance(failed, RPCError) and failed.status is RPCStatusCode.NOT_FOUND:
                return self._no_namespace
            self._tell_cause(failed)
            if problem := self._flawed(failed):
                return problem
            if isinstance(failed, RPCError):
                return _named(failed) or await self._unexplained()
            return _of_the_connection(failed)

    async def _unexplained(self) -> Problem:
        """A connection that was lost does not tell why; one that is made now may."""
        if self._rotation is None:
            return UNREACHABLE
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._rotation.connect_again()
        except (RuntimeError, TimeoutError) as failed:
            return _of_the_connection(failed)
        return UNREACHABLE

    def _tell_cause(self, failed: Exception) -> None:
        """In the server's own words, when they change by more than a number."""
        status = failed.status.name if isinstance(failed, RPCError) else type(failed).__name__
        words = f"{status}: {failed}"[:500]
        if (pattern := re.sub(r"\d+", "0", words)) != self._told:
            self._told = pattern
            logger.warning("Temporal does not serve the operator", extra={"error": words})

    async def _check_search_attributes(self, namespace: str, columns: Mapping[str, str]) -> Problem | None:
        """`columns`: where the store keeps each attribute, which not every store tells."""
        if not self._create:
            return await self._try_search_attributes(columns)
        request = ListSearchAttributesRequest(namespace=namespace)
        try:
            answer = await self.client.operator_service.list_search_attributes(request)
        except RPCError as refused:
            if refused.status not in RESERVED:
                raise
            return await self._try_search_attributes(columns)
        self.reports_task_problems = TASK_PROBLEMS in answer.system_attributes
        missing: dict[str, IndexedValueType.ValueType] = {}
        for key in SEARCH_ATTRIBUTES:
            wanted = IndexedValueType.ValueType(key.indexed_value_type)
            found = answer.custom_attributes.get(key.name)
            if found is None:
                missing[key.name] = wanted
            elif found != wanted:
                return _mismatch(namespace, key, found)
        try:
            await self._register(missing)
        except RPCError as refused:
            if refused.status not in RESERVED:
                raise
            return await self._try_search_attributes(columns)
        await self._answers("")  # whether the operator may list workflows at all
        return None

    async def _register(self, missing: dict[str, IndexedValueType.ValueType]) -> None:
        if not missing:
            return
        logger.info("registering search attributes %s", ", ".join(missing))
        request = AddSearchAttributesRequest(namespace=self.client.namespace, search_attributes=missing)
        try:
            await self.client.operator_service.add_search_attributes(request)
        except RPCError as refused:
            if refused.status is not RPCStatusCode.ALREADY_EXISTS:
                raise

    async def _try_search_attributes(self, columns: Mapping[str, str]) -> Problem | None:
        """Where the service of administrators is not for us, a query that names the attributes tells whether they are
        there, and the names of their columns of which type they are."""
        namespace = self.client.namespace
        self.reports_task_problems = await self._answers(f"{TASK_PROBLEMS} IS NULL")
        for key in SEARCH_ATTRIBUTES:
            found = _COLUMNS.get(columns.get(key.name, "").rstrip("0123456789"))
            if found is not None and found != IndexedValueType.ValueType(key.indexed_value_type):
                return _mismatch(namespace, key, found)
        if await self._answers(" AND ".join(f"{key.name} IS NULL" for key in SEARCH_ATTRIBUTES)):
            return None
        missing = [key.name for key in SEARCH_ATTRIBUTES if not await self._answers(f"{key.name} IS NULL")]
        if not missing:
            return None
        return _missing(namespace, missing)

    async def _answers(self, query: str) -> bool:
        """Whether Temporal understands a query."""
        try:
            await self.client.workflow_service.list_workflow_executions(
                ListWorkflowExecutionsRequest(namespace=self.client.namespace, page_size=1, query=query)
            )
        except RPCError as refused:
            if refused.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            return False
        return True


def _of_the_connection(failed: Exception) -> Problem:
    sentence = refusal(failed)
    return UNREACHABLE if sentence is None else Problem(Reason.TEMPORAL_UNAVAILABLE, sentence)


def _missing(namespace: str, names: Sequence[str]) -> Problem:
    return Problem(
        Reason.SEARCH_ATTRIBUTES_MISSING,
        f"Temporal namespace {namespace!r} lacks the search attributes {', '.join(names)}: "
        "register them with `temporal operator search-attribute create`",
    )


def _mismatch(namespace: str, key: SearchAttributeKey[Any], found: IndexedValueType.ValueType) -> Problem:
    wanted = IndexedValueType.ValueType(key.indexed_value_type)
    return Problem(
        Reason.SEARCH_ATTRIBUTE_TYPE_MISMATCH,
        f"search attribute {key.name} of Temporal namespace {namespace!r} has type "
        f"{IndexedValueType.Name(found)} but orders need {IndexedValueType.Name(wanted)}",
    )


_COLUMNS = {
    "Bool": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "Double": IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    "Text": IndexedValueType.INDEXED_VALUE_TYPE_TEXT,
}
"""How the server names its columns, before their number."""

RESERVED = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.UNAUTHENTICATED})
"""Answers of a server that keeps the operator service for administrators."""
