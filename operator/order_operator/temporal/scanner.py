"""What Temporal says about orders and stock items, gathered by one scanner for all of them, never one by one.

Two windows over visibility: a fast one that sees changes within half a second, and a wide one that carries the
argument of correctness: a row appears up to a workflow task's time-out after the time it carries, so only a window
that overlaps by more than that misses nothing. The wide one also asks for workflows whose own code fails, since those
publish nothing that could bring them into a window. A full scan at the start and every quarter of an hour finds what
both cannot know: resets, orders from before, workflows without a resource.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from temporalio.api.common.v1 import Payload
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from order_operator import metrics
from order_operator.temporal.connection import TASK_PROBLEMS, TemporalConnection
from order_operator.temporal.runs import RPC_TIMEOUT, find, task_problems
from order_workflows.contract import ORDER_CLUSTER, ORDER_SEQ, ORDER_UPDATED_AT, WORKFLOW_TASK_TIMEOUT

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

MAX_BACKOFF_SECONDS = 10.0

logger = logging.getLogger(__name__)


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
        failing = bool(task_problems(row))
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
