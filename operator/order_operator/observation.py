"""What Temporal says about orders, gathered by one scanner for all of them, never by asking order for order.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from order_domain.snapshot import SNAPSHOT_VERSION, OrderSnapshot
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
    WORKFLOW_TYPE,
    RunKey,
    parse_workflow_id,
)

FAST_SECONDS = 0.5
FAST_OVERLAP = timedelta(seconds=5)
IDLE_SECONDS = 2.0
"""Fast scans slow down to this while no order is live."""
SWEEP_SECONDS = 15.0
SWEEP_OVERLAP = 6 * WORKFLOW_TASK_TIMEOUT
"""A minute: a task's time-out and fifty seconds for a visibility store that lags."""
RESYNC_SECONDS = 900.0
PAGE_SIZE = 500
"""Rows carry a memo of up to 2 KiB; a page stays below the 4 MB of a gRPC message."""
RPC_TIMEOUT = timedelta(seconds=10)
MAX_BACKOFF_SECONDS = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observation:
    """The newest known state of one order's workflow."""

    key: RunKey
    workflow_id: str
    run_id: str
    status: WorkflowExecutionStatus
    task_queue: str
    start_time: datetime | None = None
    close_time: datetime | None = None
    snapshot: OrderSnapshot | None = None
    """None until the workflow has published, or when it wrote a format that this operator does not know."""
    input_hash: str | None = None
    orphaned: bool = False
    unreadable: bool = False
    """The workflow has published, but in a format that this operator does not know."""
    task_problems: tuple[str, ...] = ()
    """What the server says of workflow tasks that fail again and again, such as `cause=…UnhandledFailure`."""

    @property
    def running(self) -> bool:
        """Whether the run is open."""
        return self.status is WorkflowExecutionStatus.RUNNING


class ScanKind(StrEnum):
    """Which window a scan looks through."""

    FAST = "fast"
    SWEEP = "sweep"
    FULL = "full"


@dataclass
class Scanner:
    """Calls `changed` with every observation that differs from the one before."""

    connection: TemporalConnection
    cluster: str
    changed: Callable[[Observation], None]
    live: Callable[[], bool]
    resynced: Callable[[], None]
    """Called after a full scan."""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after the first full scan."""
    _seen: dict[str, tuple[str, int, int]] = field(default_factory=dict)
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
                self.resynced()
            await asyncio.sleep(FAST_SECONDS if self.live() else IDLE_SECONDS)

    async def _scan(self, kind: ScanKind, watermark: datetime) -> None:
        scope = f"WorkflowType = '{WORKFLOW_TYPE}' AND {ORDER_CLUSTER.name} = '{self.cluster}'"
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
        before, listed = set(self._failing), set()
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
                listed.add(row.execution.workflow_id)
                await self._see(client, row, force=kind is ScanKind.FULL)
            token = page.next_page_token
            if not token:
                break
        if kind is not ScanKind.FAST:
            for identifier in before - listed:
                await self._recovered(client, identifier)

    async def _recovered(self, client: Client, identifier: str) -> None:
        """A failing workflow is no longer listed as such. If it has published nothing since, no window brings it."""
        key = parse_workflow_id(identifier)
        observation = await describe(client, key, identifier) if key else None
        self._failing.discard(identifier)
        if observation is not None:
            self.changed(observation)

    async def _see(self, client: Client, row: WorkflowExecutionInfo, *, force: bool) -> None:
        """Decode a row only when it says something new; decoding is what costs."""
        key = parse_workflow_id(row.execution.workflow_id)
        if key is None:
            return
        identifier, attributes = row.execution.workflow_id, row.search_attributes.indexed_fields
        mark = (row.execution.run_id, _seq(attributes), int(row.status))
        failing = bool(_task_problems(row))
        if force or self._seen.get(key.uid) != mark or failing != (identifier in self._failing):
            self._seen[key.uid] = mark
            (self._failing.add if failing else self._failing.discard)(identifier)
            self.changed(await decode(client, key, row))

    def forget(self, uid: str) -> None:
        """Drop the memory of an order that is gone."""
        self._seen.pop(uid, None)


def _seq(attributes: Mapping[str, Payload]) -> int:
    payload = attributes.get(ORDER_SEQ.name)
    return int(payload.data) if payload is not None and payload.data.isdigit() else -1


async def decode(client: Client, key: RunKey, row: WorkflowExecutionInfo) -> Observation:
    """A row of visibility, or of a describe, as an observation."""
    memo = row.memo.fields
    converter = client.data_converter
    names = [name for name in (MEMO_SNAPSHOT, MEMO_INPUT_HASH, MEMO_ORPHANED) if name in memo]
    values = dict(zip(names, await converter.decode([memo[name] for name in names]), strict=True)) if names else {}
    snapshot = None
    if MEMO_SNAPSHOT in values:
        snapshot = _snapshot(values[MEMO_SNAPSHOT])
        if snapshot is None:
            logger.warning("a newer worker's snapshot, left alone: %s", row.execution.workflow_id)
    return Observation(
        key=key,
        workflow_id=row.execution.workflow_id,
        run_id=row.execution.run_id,
        status=WorkflowExecutionStatus(row.status),
        task_queue=row.task_queue,
        start_time=row.start_time.ToDatetime(UTC) if row.HasField("start_time") else None,
        close_time=row.close_time.ToDatetime(UTC) if row.HasField("close_time") else None,
        snapshot=snapshot,
        input_hash=values.get(MEMO_INPUT_HASH),
        orphaned=bool(values.get(MEMO_ORPHANED)),
        unreadable=MEMO_SNAPSHOT in values and snapshot is None,
        task_problems=_task_problems(row),
    )


def _task_problems(row: WorkflowExecutionInfo) -> tuple[str, ...]:
    payload = row.search_attributes.indexed_fields.get(TASK_PROBLEMS)
    if payload is None or WorkflowExecutionStatus(row.status) is not WorkflowExecutionStatus.RUNNING:
        return ()
    problems = json.loads(payload.data or b"null")
    return tuple(map(str, problems)) if isinstance(problems, list) else (str(problems),) if problems else ()


def _snapshot(memo: object) -> OrderSnapshot | None:
    try:
        snapshot = OrderSnapshot.model_validate(memo)
    except ValidationError:
        return None
    return snapshot if snapshot.version <= SNAPSHOT_VERSION else None


async def describe(client: Client, key: RunKey, workflow_id: str) -> Observation | None:
    """The strongly consistent state of one order; for what visibility cannot know. None if there is no such run."""
    try:
        description = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as failed:
        if failed.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return await decode(client, key, description.raw_description.workflow_execution_info)
