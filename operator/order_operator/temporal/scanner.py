"""What Temporal says about orders and stock items, gathered by one scanner for all of them, never one by one.

Two windows over visibility, neither of which waits for the other: a fast one that sees changes within half a second,
and a wide one that carries the argument of correctness: a row appears up to a workflow task's time-out after the time
it carries, so only a window that overlaps by more than that misses nothing. The wide one also asks for workflows whose
own code fails, since those publish nothing that could bring them into a window. Windows are counted by the server's
time, which two requests for a row each tell at the start.

A full scan, at the start and every quarter of an hour, lists what is open, and what ended in another way than
completed. It finds what windows cannot: resets, runs from before, and, by what it does not list, runs that are gone. It
goes on beside the windows, so that nobody waits for it; however long it takes, they hold what changes meanwhile. Runs
that are gone are looked for each minute besides: what is open is listed then, and only new rows are decoded.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse
from temporalio.service import RPCError, RPCStatusCode

from order_operator import backoff, metrics
from order_operator.temporal.connection import TASK_PROBLEMS, TemporalConnection
from order_operator.temporal.runs import (
    RPC_TIMEOUT,
    Run,
    close_of,
    find,
    is_open,
    keys_version,
    start_of,
    task_problems,
)
from order_operator.temporal.server_time import ServerTime
from order_workflows.contract import ORDER_SEQ, ORDER_UPDATED_AT, WORKFLOW_TASK_TIMEOUT

FAST_SECONDS = 0.5
FAST_OVERLAP = timedelta(seconds=5)
IDLE_SECONDS = 2.0
"""Fast scans slow down to this while nothing is live."""
SWEEP_SECONDS = 15.0
SWEEP_OVERLAP = 6 * WORKFLOW_TASK_TIMEOUT
"""A minute: a task's time-out and fifty seconds for a visibility store that lags."""
RESYNC_SECONDS = 900.0
OPEN_SECONDS = 60.0
"""From one list of what is open to the next, where that takes no longer than a twentieth of it."""
KEYS_SECONDS = 2.0
"""How often the keys of payloads are looked at while rows cannot be read."""
PAGE_SIZE = 500
"""Rows carry a memo of up to 2 KiB; a page stays below the 4 MB of a gRPC message."""
REQUEST_SECONDS = 0.2
"""Least time between two requests to visibility, of all scans together: servers limit them by namespace."""
BETWEEN_PAGES_SECONDS = 2 * REQUEST_SECONDS
"""Of scans other than the fast: every second turn stays free for the fast window."""
ROWS_AT_ONCE = 20
"""Rows of a scan that are decoded before others get their turn."""
MAX_BACKOFF_SECONDS = 10.0

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Run)


class ScanKind(StrEnum):
    """Which window a scan looks through."""

    NEWEST = "newest"
    """The newest run that is open and the newest that completed: where the other windows begin to count."""
    FAST = "fast"
    ENDED = "ended"
    """Of the fast window, what completed."""
    SWEEP = "sweep"
    OPEN = "open"
    FULL = "full"


@dataclass(frozen=True)
class Subscriber(Generic[R]):
    """Who wants to know of the workflows of one type."""

    decode: Callable[[WorkflowExecutionInfo], Awaitable[R | None]]
    """Reads a row; None if it is none of the subscriber's."""
    observed: Callable[[R], None]
    """Called with every run that differs from the time before."""
    live: Callable[[], bool]
    """Whether changes are expected soon."""
    resynced: Callable[[frozenset[str]], None]
    """Called with the ids of all open workflows, after each scan that lists them all."""


class Scanner:
    """Tells the subscribers what has changed; who subscribes is fixed before it runs."""

    def __init__(self, connection: TemporalConnection) -> None:
        self._connection = connection
        self.subscribers: dict[str, Subscriber[Any]] = {}
        """By workflow type."""
        self.synced = asyncio.Event()
        """Set after the first full scan."""
        self._seen: dict[str, tuple[str, int, int]] = {}
        """By workflow id: run, seq and status in the row last told."""
        self._failing: set[str] = set()
        """Workflow ids of the open runs last seen with task problems."""
        self._undecodable: dict[str, tuple[str, int, int]] = {}
        """By workflow id: run, seq and status of the row last reported as one that cannot be read."""
        self._crowded = False
        """Whether the fast window, as it was listed last, holds more than a page."""
        self._server_time = ServerTime()
        self._next_request = 0.0
        """Monotonic time from which visibility may be asked again."""

    async def run(self) -> None:
        """Scan until cancelled."""
        await self._until_through(ScanKind.NEWEST)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep())
            group.create_task(self._follow())
            group.create_task(self._follow_ends())
            group.create_task(self._resync())
            group.create_task(self._list_open())

    async def _follow(self) -> None:
        """The fast window."""
        failures = 0
        while True:
            live = any(subscriber.live() for subscriber in self.subscribers.values())
            await asyncio.sleep(FAST_SECONDS if live else IDLE_SECONDS)
            if self._connection.problem is not None:
                continue
            since = self._server_time.passed
            through = await self._try(ScanKind.FAST, since - FAST_OVERLAP if since else None, failures)
            failures = 0 if through else failures + 1

    async def _follow_ends(self) -> None:
        """Beside the fast window while that is crowded: the server lists last what has ended, and people wait for the
        end of their order, not for the beginning of a thousand others."""
        failures = 0
        while True:
            await asyncio.sleep(FAST_SECONDS)
            since = self._server_time.passed
            if since is None or not self._crowded or self._connection.problem is not None:
                continue
            through = await self._try(ScanKind.ENDED, since - FAST_OVERLAP, failures)
            failures = 0 if through else failures + 1

    async def _sweep(self) -> None:
        """The wide one, beside the fast: of a minute with very many changes it reads several pages, and the server
        lists last what has ended."""
        swept = self._server_time.passed
        failures = 0
        while True:
            begun = self._server_time.passed
            if self._connection.problem is not None:
                await asyncio.sleep(FAST_SECONDS)
            elif await self._try(ScanKind.SWEEP, swept - SWEEP_OVERLAP if swept else None, failures):
                # Only a scan whose window held every row since the last one may move the start of the next.
                swept, failures = begun, 0
                await asyncio.sleep(SWEEP_SECONDS)
            else:
                failures += 1

    async def _resync(self) -> None:
        while True:
            await self._until_through(ScanKind.FULL)
            await self._until_due()

    async def _list_open(self) -> None:
        await self.synced.wait()
        took = 0.0
        while True:
            await asyncio.sleep(max(OPEN_SECONDS, 20 * took))
            begun = time.monotonic()
            await self._until_through(ScanKind.OPEN)
            took = time.monotonic() - begun

    async def _until_due(self) -> None:
        """A key that comes back makes rows readable that no window would bring again."""
        keys, due = keys_version(self._connection.client), time.monotonic() + RESYNC_SECONDS
        while time.monotonic() < due:
            await asyncio.sleep(KEYS_SECONDS)
            if self._undecodable and keys_version(self._connection.client) != keys:
                return

    async def _until_through(self, kind: ScanKind) -> None:
        failures = 0
        while True:
            if self._connection.problem is not None:
                await asyncio.sleep(FAST_SECONDS)
            elif await self._try(kind, None, failures):
                return
            else:
                failures += 1

    async def _try(self, kind: ScanKind, since: datetime | None, failures: int) -> bool:
        """One scan; whether it is through. After one that is not, it waits: longer after each of `failures`."""
        try:
            await self._scan(kind, since)
        except (RPCError, RuntimeError) as failed:
            metrics.SCANS.labels(kind=kind, result="error").inc()
            throttled = isinstance(failed, RPCError) and failed.status is RPCStatusCode.RESOURCE_EXHAUSTED
            if not throttled:
                self._connection.lost()
            logger.warning("scan failed", extra={"kind": kind, "error": str(failed)[:500]})
            await asyncio.sleep(backoff.growing(failures + 1, MAX_BACKOFF_SECONDS, first=2 * FAST_SECONDS))
            return False
        metrics.SCANS.labels(kind=kind, result="ok").inc()
        return True

    async def _scan(self, kind: ScanKind, since: datetime | None) -> None:
        if kind is ScanKind.NEWEST:
            await self._find_newest()
            return
        before: set[str] = set(self._failing)
        listed, open_ids = await self._look_through(kind, since)
        if kind not in (ScanKind.FAST, ScanKind.ENDED):
            for identifier in before - listed:
                await self._recovered(identifier)
        if kind is ScanKind.FULL:
            self.synced.set()
        if kind in (ScanKind.FULL, ScanKind.OPEN):
            for subscriber in self.subscribers.values():
                subscriber.resynced(frozenset(open_ids))

    async def _look_through(self, kind: ScanKind, since: datetime | None) -> tuple[set[str], set[str]]:
        """The ids of the workflows that were listed, and of those that are open."""
        pause = 0.0 if kind in (ScanKind.FAST, ScanKind.ENDED) else BETWEEN_PAGES_SECONDS
        listed: set[str] = set()
        open_ids: set[str] = set()
        async for page in self._pages(self._query(kind, since), pause):
            if kind is ScanKind.FAST and not listed:
                self._crowded = bool(page.next_page_token)
            for number, row in enumerate(page.executions):
                identifier = row.execution.workflow_id
                if identifier in listed:
                    continue  # the server lists open runs first, then the newest: an id's first row is its present run
                listed.add(identifier)
                self._move_window(row)
                if is_open(row):
                    open_ids.add(identifier)
                await self._take(row, force=kind is ScanKind.FULL)
                if number % ROWS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        return listed, open_ids

    async def _find_newest(self) -> None:
        """Without this the first windows would count from the oldest open run, and hold all that completed since."""
        for status in ("Running", "Completed"):
            page = await self._page(f"{self._scope()} AND ExecutionStatus = '{status}'", b"", size=1)
            for row in page.executions:
                self._move_window(row)

    async def _pages(self, query: str, pause: float) -> AsyncIterator[ListWorkflowExecutionsResponse]:
        """One after the other, with a pause in between."""
        token = b""
        while True:
            page = await self._page(query, token)
            yield page
            token = page.next_page_token
            if not token:
                return
            await asyncio.sleep(pause)

    async def _page(self, query: str, token: bytes, size: int = PAGE_SIZE) -> ListWorkflowExecutionsResponse:
        """When it is this request's turn."""
        turn = max(time.monotonic(), self._next_request)
        self._next_request = turn + REQUEST_SECONDS
        await asyncio.sleep(turn - time.monotonic())
        client = self._connection.client  # as it is now: it may be replaced between two pages
        return await client.workflow_service.list_workflow_executions(
            ListWorkflowExecutionsRequest(
                namespace=client.namespace, page_size=size, query=query, next_page_token=token
            ),
            timeout=RPC_TIMEOUT,
        )

    def _scope(self) -> str:
        types = ", ".join(f"'{name}'" for name in self.subscribers)
        return f"WorkflowType IN ({types})"

    def _query(self, kind: ScanKind, since: datetime | None) -> str:
        """`since`: None as long as there is no row to count from."""
        scope = self._scope()
        if kind is ScanKind.FULL:
            return f"{scope} AND ExecutionStatus != 'Completed'"
        if kind is ScanKind.OPEN:
            return f"{scope} AND ExecutionStatus = 'Running'"
        if since is None:
            return scope
        if kind is ScanKind.ENDED:
            return f"{scope} AND {_completed_since(since)}"
        recent = changed_since(since)
        if kind is ScanKind.SWEEP and self._connection.reports_task_problems:
            recent += f" OR ({TASK_PROBLEMS} IS NOT NULL AND ExecutionStatus = 'Running')"
        return f"{scope} AND ({recent})"

    async def _recovered(self, identifier: str) -> None:
        """A failing workflow is no longer listed as such. If it has published nothing since, no window brings it."""
        row = await find(self._connection.client, identifier)
        self._failing.discard(identifier)
        if row is not None:
            await self._take(row, force=True)

    async def _take(self, row: WorkflowExecutionInfo, *, force: bool) -> None:
        """One that cannot be told harms no other."""
        try:
            await self._see(row, force=force)
        except Exception as failed:  # noqa: BLE001 - whatever it is, the next row is read
            self._report(row, f"{type(failed).__name__}: {failed}", failed)

    async def _see(self, row: WorkflowExecutionInfo, *, force: bool) -> None:
        """Tell of a row only when it says something new; decoding is what costs."""
        identifier, mark = row.execution.workflow_id, _mark(row)
        failing = bool(task_problems(row))
        if force or self._seen.get(identifier) != mark or failing != (identifier in self._failing):
            (self._failing.add if failing else self._failing.discard)(identifier)
            if await self._tell(row):
                self._seen[identifier] = mark

    async def _tell(self, row: WorkflowExecutionInfo) -> bool:
        """Whether it is a subscriber's."""
        subscriber = self.subscribers.get(row.type.name)
        run = await subscriber.decode(row) if subscriber is not None else None
        if subscriber is None or run is None:
            return False
        subscriber.observed(run)
        if run.unreadable:
            self._report(row, run.unreadable_because)
        else:
            self._undecodable.pop(row.execution.workflow_id, None)
        return True

    def _report(self, row: WorkflowExecutionInfo, because: str, failed: Exception | None = None) -> None:
        """Once for each state of a run: a foreign workflow is listed again and again."""
        identifier, mark = row.execution.workflow_id, _mark(row)
        if self._undecodable.get(identifier) == mark:
            return
        self._undecodable[identifier] = mark
        metrics.UNDECODABLE_ROWS.inc()
        about = {"workflow_id": identifier, "run_id": row.execution.run_id, "error": because[:500]}
        logger.warning("a workflow cannot be read; it is left alone", extra=about, exc_info=failed)

    def _move_window(self, row: WorkflowExecutionInfo) -> None:
        for moment in (_updated_at(row), start_of(row), close_of(row)):
            if moment is not None:
                self._server_time.saw(moment)

    @property
    def newest(self) -> datetime | None:
        """The newest time in any row, by the server's clock; None before there was one."""
        return self._server_time.newest

    def forget(self, workflow_id: str) -> None:
        """Drop the memory of a workflow whose resource is gone."""
        self._seen.pop(workflow_id, None)
        self._undecodable.pop(workflow_id, None)


def _mark(row: WorkflowExecutionInfo) -> tuple[str, int, int]:
    """Run, seq and status: what makes a row differ from the one before."""
    return row.execution.run_id, _seq(row.search_attributes.indexed_fields), int(row.status)


def _seq(attributes: Mapping[str, Payload]) -> int:
    payload = attributes.get(ORDER_SEQ.name)
    return int(payload.data) if payload is not None and payload.data.isdigit() else -1


def _updated_at(row: WorkflowExecutionInfo) -> datetime | None:
    payload = row.search_attributes.indexed_fields.get(ORDER_UPDATED_AT.name)
    if payload is None:
        return None
    try:
        moment = datetime.fromisoformat(payload.data.decode().strip('"'))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _completed_since(moment: datetime) -> str:
    return f"CloseTime >= '{_instant(moment)}' AND ExecutionStatus = 'Completed'"


def changed_since(moment: datetime) -> str:
    """What to ask visibility for: the runs that began, published something or ended at `moment` or later."""
    instant = _instant(moment)
    # An open run has no CloseTime, and in SQL it passes for one that ends in the far future.
    ended = f"(CloseTime >= '{instant}' AND ExecutionStatus != 'Running')"
    return f"{ORDER_UPDATED_AT.name} >= '{instant}' OR StartTime >= '{instant}' OR {ended}"


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
