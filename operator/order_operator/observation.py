"""What Temporal says about orders and stock items, gathered by one scanner for all of them, never one by one.

Two windows over visibility: a fast one that sees changes within half a second, and a wide one that carries the
argument of correctness: a row appears up to a workflow task's time-out after the time it carries, so only a window
that overlaps by more than that misses nothing. The wide one also asks for workflows whose own code fails, since those
publish nothing that could bring them into a window. A full scan at the start and every quarter of an hour finds what
both cannot know: resets, orders from before, workflows without a resource.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from order_domain.snapshot import SNAPSHOT_VERSION, OrderSnapshot
from order_domain.stock_item import StockSnapshot
from order_operator import metrics
from order_operator.temporal_connection import TASK_PROBLEMS, TemporalConnection
from order_workflows.contract import (
    MEMO_INPUT_HASH,
    MEMO_ORPHANED,
    MEMO_SNAPSHOT,
    ORDER_CLUSTER,
    ORDER_SEQ,
    ORDER_UPDATED_AT,
    WORKFLOW_TASK_TIMEOUT,
    RunKey,
)

FAST_SECONDS = 0.5
FAST_OVERLAP = timedelta(seconds=5)
IDLE_SECONDS = 2.0
"""Fast scans slow down to this while nothing is live."""
SWEEP_SECONDS = 15.0
SWEEP_OVERLAP = 6 * WORKFLOW_TASK_TIMEOUT
"""A minute: a task's time-out and fifty seconds for a visibility store that lags."""
RESYNC_SECONDS = 900.0
PAGE_SIZE = 500
"""Rows carry a memo of up to 2 KiB; a page stays below the 4 MB of a gRPC message."""
RPC_TIMEOUT = timedelta(seconds=10)
MAX_BACKOFF_SECONDS = 10.0

logger = logging.getLogger(__name__)

S = TypeVar("S", OrderSnapshot, StockSnapshot)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is known of any workflow's newest run."""

    workflow_id: str
    run_id: str
    status: WorkflowExecutionStatus
    task_queue: str
    start_time: datetime | None = None
    close_time: datetime | None = None
    unreadable: bool = False
    """The workflow has published, but in a format that this operator does not know."""
    task_problems: tuple[str, ...] = ()
    """What the server says of workflow tasks that fail again and again, such as `cause=…UnhandledFailure`."""

    @property
    def running(self) -> bool:
        """Whether the run is open."""
        return self.status is WorkflowExecutionStatus.RUNNING


@dataclass(frozen=True, kw_only=True)
class Observation(Run):
    """The newest known state of one order's workflow."""

    key: RunKey
    snapshot: OrderSnapshot | None = None
    """None until the workflow has published, or when it wrote a format that this operator does not know."""
    input_hash: str | None = None
    orphaned: bool = False


class ScanKind(StrEnum):
    """Which window a scan looks through."""

    FAST = "fast"
    SWEEP = "sweep"
    FULL = "full"


@dataclass(frozen=True)
class Follower:
    """Who wants to know of the workflows of one type."""

    observed: Callable[[WorkflowExecutionInfo], Awaitable[None]]
    """Called with every row that differs from the one before."""
    live: Callable[[], bool]
    """Whether changes are expected soon."""
    resynced: Callable[[], None]
    """Called after a full scan."""


@dataclass
class Scanner:
    """Tells the followers what has changed; who follows is fixed before it runs."""

    connection: TemporalConnection
    cluster: str
    followers: dict[str, Follower] = field(default_factory=dict)
    """By workflow type."""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after the first full scan."""
    _seen: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """By workflow id: run, seq and status in the row last told."""
    _failing: set[str] = field(default_factory=set)
    """Workflow ids of the open runs last seen with task problems."""

    async def run(self) -> None:
        """Scan until cancelled."""
        watermark = datetime.now(UTC)
        full_due = sweep_due = 0.0
        failures = 0
        while True:
            now = time.monotonic()
            kind = ScanKind.FULL if now >= full_due else ScanKind.SWEEP if now >= sweep_due else ScanKind.FAST
            if self.connection.problem is not None:
                await asyncio.sleep(FAST_SECONDS)
                continue
            started = datetime.now(UTC)
            try:
                await self._scan(kind, watermark)
            except (RPCError, RuntimeError) as failed:
                failures += 1
                metrics.SCANS.labels(kind=kind, result="error").inc()
                throttled = isinstance(failed, RPCError) and failed.status is RPCStatusCode.RESOURCE_EXHAUSTED
                if not throttled:
                    self.connection.lost()
                logger.warning("scan failed", extra={"kind": kind, "error": str(failed)})
                await asyncio.sleep(min(MAX_BACKOFF_SECONDS, 2 ** min(failures, 4) * FAST_SECONDS))
                continue
            failures = 0
            metrics.SCANS.labels(kind=kind, result="ok").inc()
            now = time.monotonic()
            if kind is not ScanKind.FAST:
                # Only a scan whose window held every row since the last one may move the start of the next.
                watermark = started
                sweep_due = now + SWEEP_SECONDS
            if kind is ScanKind.FULL:
                full_due = now + RESYNC_SECONDS
                self.synced.set()
                for follower in self.followers.values():
                    follower.resynced()
            live = any(follower.live() for follower in self.followers.values())
            await asyncio.sleep(FAST_SECONDS if live else IDLE_SECONDS)

    async def _scan(self, kind: ScanKind, watermark: datetime) -> None:
        types = ", ".join(f"'{name}'" for name in self.followers)
        scope = f"WorkflowType IN ({types}) AND {ORDER_CLUSTER.name} = '{self.cluster}'"
        if kind is ScanKind.FULL:
            query = scope
        else:
            since = datetime.now(UTC) - FAST_OVERLAP if kind is ScanKind.FAST else watermark - SWEEP_OVERLAP
            instant = since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            fields = (ORDER_UPDATED_AT.name, "CloseTime", "StartTime")
            recent = " OR ".join(f"{name} >= '{instant}'" for name in fields)
            if kind is ScanKind.SWEEP and self.connection.reports_task_problems:
                recent += f" OR ({TASK_PROBLEMS} IS NOT NULL AND ExecutionStatus = 'Running')"
            query = f"{scope} AND ({recent})"
        before: set[str] = set(self._failing)
        listed: set[str] = set()
        token = b""
        client = self.connection.client
        while True:
            page = await client.workflow_service.list_workflow_executions(
                ListWorkflowExecutionsRequest(
                    namespace=client.namespace, page_size=PAGE_SIZE, query=query, next_page_token=token
                ),
                timeout=RPC_TIMEOUT,
            )
            for row in page.executions:
                # The server lists open runs first, then the newest: an id's first row is its present run.
                if row.execution.workflow_id not in listed:
                    listed.add(row.execution.workflow_id)
                    await self._see(row, force=kind is ScanKind.FULL)
            token = page.next_page_token
            if not token:
                break
        if kind is not ScanKind.FAST:
            for identifier in before - listed:
                await self._recovered(client, identifier)

    async def _recovered(self, client: Client, identifier: str) -> None:
        """A failing workflow is no longer listed as such. If it has published nothing since, no window brings it."""
        row = await find(client, identifier)
        self._failing.discard(identifier)
        if row is not None:
            await self._tell(row)

    async def _see(self, row: WorkflowExecutionInfo, *, force: bool) -> None:
        """Tell of a row only when it says something new; decoding is what costs."""
        identifier, attributes = row.execution.workflow_id, row.search_attributes.indexed_fields
        mark = (row.execution.run_id, _seq(attributes), int(row.status))
        failing = bool(_task_problems(row))
        if force or self._seen.get(identifier) != mark or failing != (identifier in self._failing):
            self._seen[identifier] = mark
            (self._failing.add if failing else self._failing.discard)(identifier)
            await self._tell(row)

    async def _tell(self, row: WorkflowExecutionInfo) -> None:
        follower = self.followers.get(row.type.name)
        if follower is not None:
            await follower.observed(row)

    def forget(self, workflow_id: str) -> None:
        """Drop the memory of a workflow whose resource is gone."""
        self._seen.pop(workflow_id, None)


def _seq(attributes: Mapping[str, Payload]) -> int:
    payload = attributes.get(ORDER_SEQ.name)
    return int(payload.data) if payload is not None and payload.data.isdigit() else -1


async def decode(client: Client, key: RunKey, row: WorkflowExecutionInfo) -> Observation:
    """A row of visibility, or of a describe, as an observation."""
    values = await memo_values(client, row, (MEMO_SNAPSHOT, MEMO_INPUT_HASH, MEMO_ORPHANED))
    snapshot = None
    if MEMO_SNAPSHOT in values:
        snapshot = readable(values[MEMO_SNAPSHOT], OrderSnapshot, SNAPSHOT_VERSION)
        if snapshot is None:
            logger.warning("a newer worker's snapshot, left alone: %s", row.execution.workflow_id)
    return Observation(
        key=key,
        snapshot=snapshot,
        input_hash=values.get(MEMO_INPUT_HASH),
        orphaned=bool(values.get(MEMO_ORPHANED)),
        unreadable=MEMO_SNAPSHOT in values and snapshot is None,
        **run_fields(row),
    )


async def memo_values(client: Client, row: WorkflowExecutionInfo, keys: Sequence[str]) -> dict[str, Any]:
    """Those of the `keys` that the row's memo has, decoded."""
    memo = row.memo.fields
    names = [name for name in keys if name in memo]
    if not names:
        return {}
    return dict(zip(names, await client.data_converter.decode([memo[name] for name in names]), strict=True))


def run_fields(row: WorkflowExecutionInfo) -> dict[str, Any]:
    """The fields of `Run` that a row has whatever its type."""
    return {
        "workflow_id": row.execution.workflow_id,
        "run_id": row.execution.run_id,
        "status": WorkflowExecutionStatus(row.status),
        "task_queue": row.task_queue,
        "start_time": row.start_time.ToDatetime(UTC) if row.HasField("start_time") else None,
        "close_time": row.close_time.ToDatetime(UTC) if row.HasField("close_time") else None,
        "task_problems": _task_problems(row),
    }


def _task_problems(row: WorkflowExecutionInfo) -> tuple[str, ...]:
    payload = row.search_attributes.indexed_fields.get(TASK_PROBLEMS)
    if payload is None or WorkflowExecutionStatus(row.status) is not WorkflowExecutionStatus.RUNNING:
        return ()
    problems = json.loads(payload.data or b"null")
    return tuple(map(str, problems)) if isinstance(problems, list) else (str(problems),) if problems else ()


def readable(memo: object, model: type[S], newest: int) -> S | None:
    """What a workflow has published; None in a format that is not known, such as one above version `newest`."""
    try:
        snapshot = model.model_validate(memo)
    except ValidationError:
        return None
    return snapshot if snapshot.version <= newest else None


async def describe(client: Client, key: RunKey, workflow_id: str) -> Observation | None:
    """The strongly consistent state of one order; for what visibility cannot know. None if there is no such run."""
    row = await find(client, workflow_id)
    return await decode(client, key, row) if row is not None else None


async def find(client: Client, workflow_id: str) -> WorkflowExecutionInfo | None:
    """The newest run of any workflow as the server itself knows it, not visibility; None if there is none."""
    try:
        description = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as failed:
        if failed.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return description.raw_description.workflow_execution_info
