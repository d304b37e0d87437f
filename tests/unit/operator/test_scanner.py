"""What the scanner asks of Temporal and tells its subscribers, with scripted pages of visibility."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import WorkflowExecutionStatus as AnyStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse
from temporalio.client import WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from order_operator import metrics
from order_operator.temporal import scanner as module
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import Run, run_fields
from order_operator.temporal.scanner import REQUEST_SECONDS, ROWS_AT_ONCE, SWEEP_OVERLAP, ScanKind, Scanner, Subscriber
from order_workflows.contract import ORDER_UPDATED_AT

NOW = datetime.now(UTC).replace(microsecond=0)
SWEPT_SINCE = f"StartTime >= '{(NOW - SWEEP_OVERLAP).isoformat(timespec='milliseconds')[:-6]}Z'"
"""In the query of a sweep after a row of NOW."""


def timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def a_row(
    identifier: str = "a/1",
    *,
    kind: str = "A",
    run_id: str = "run-1",
    status: WorkflowExecutionStatus = WorkflowExecutionStatus.RUNNING,
    started: datetime = NOW,
    updated: datetime | None = None,
) -> WorkflowExecutionInfo:
    row = WorkflowExecutionInfo(status=int(status), start_time=timestamp(started))  # type: ignore[arg-type]
    row.type.name = kind
    row.execution.workflow_id, row.execution.run_id = identifier, run_id
    if updated is not None:
        payload = Payload(data=f'"{updated.isoformat()}"'.encode())
        row.search_attributes.indexed_fields[ORDER_UPDATED_AT.name].CopyFrom(payload)
    return row


class Visibility:
    """Temporal. `pages` are listed one after the other; `answer` may fail instead."""

    def __init__(self, *pages: list[WorkflowExecutionInfo]) -> None:
        self.namespace, self.data_converter = "default", pydantic_data_converter
        self.pages = list(pages)
        self.queries: list[str] = []
        self.asked_at: list[float] = []
        self.client = self.workflow_service = self
        self.reports_task_problems = False
        self.problem = None
        self.losses = 0
        self.answer: Callable[[str], None] | None = None

    async def list_workflow_executions(self, request: ListWorkflowExecutionsRequest, **_: Any) -> Any:
        self.queries.append(request.query)
        self.asked_at.append(time.monotonic())
        if self.answer is not None:
            self.answer(request.query)
        number = int(request.next_page_token or b"0")
        rows = self.pages[number] if self.pages else []
        more = b"" if number + 1 >= len(self.pages) else str(number + 1).encode()
        return ListWorkflowExecutionsResponse(executions=rows, next_page_token=more)

    def lost(self) -> None:
        self.losses += 1


@dataclass
class Told:
    """A subscriber that notes the runs it was told of."""

    runs: list[str] = field(default_factory=list)
    open_ids: list[frozenset[str]] = field(default_factory=list)
    poison: str = ""
    unreadable: bool = False
    foreign: set[str] = field(default_factory=set)

    async def decode(self, row: WorkflowExecutionInfo) -> Run | None:
        if row.execution.workflow_id == self.poison:
            raise KeyError("Unknown payload encoding")
        if row.execution.workflow_id in self.foreign:
            return None
        return Run(
            unreadable=self.unreadable, unreadable_because="KeyError: 'encrypted'" * self.unreadable, **run_fields(row)
        )

    def subscriber(self) -> Subscriber[Run]:
        return Subscriber(
            decode=self.decode,
            observed=lambda run: self.runs.append(run.run_id),
            live=lambda: True,
            resynced=self.open_ids.append,
        )


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FAST_SECONDS", "IDLE_SECONDS", "REQUEST_SECONDS", "BETWEEN_PAGES_SECONDS", "MAX_BACKOFF_SECONDS")
    for name in names:
        monkeypatch.setattr(module, name, 0.0)


def a_scanner(visibility: Visibility, **subscribers: Told) -> Scanner:
    scanner = Scanner(cast("TemporalConnection", visibility))
    for kind, told in subscribers.items():
        scanner.subscribers[kind] = told.subscriber()
    return scanner


async def scan(scanner: Scanner, kind: ScanKind = ScanKind.SWEEP, since: datetime | None = None) -> None:
    assert await scanner._try(kind, since, 0)


async def test_one_query_serves_the_subscribers_of_every_type() -> None:
    visibility = Visibility([a_row("a/1", run_id="run-a"), a_row("b/1", kind="B", run_id="run-b")])
    first, second = Told(), Told()

    await scan(a_scanner(visibility, A=first, B=second), since=NOW)

    assert (first.runs, second.runs) == (["run-a"], ["run-b"])
    assert len(visibility.queries) == 1
    assert visibility.queries[0].startswith("WorkflowType IN ('A', 'B') AND (")


async def test_of_several_runs_of_an_id_only_the_present_one_is_told() -> None:
    told = Told()
    scanner = a_scanner(Visibility([a_row(run_id="new"), a_row(run_id="old")]), A=told)

    await scan(scanner)
    await scan(scanner)

    assert told.runs == ["new"]


async def test_a_row_that_cannot_be_read_harms_no_other() -> None:
    """B10: it ended the operator, and the next life of it within a second."""
    told = Told(poison="a/1")

    await scan(a_scanner(Visibility([a_row("a/1"), a_row("a/2", run_id="run-2")]), A=told))

    assert told.runs == ["run-2"]


async def test_a_list_of_what_is_open_is_told_whole_and_decodes_only_what_is_new() -> None:
    visibility, told = Visibility([a_row("a/1"), a_row("a/2", run_id="run-2")]), Told()
    scanner = a_scanner(visibility, A=told)
    await scan(scanner, ScanKind.FULL)

    visibility.pages = [[a_row("a/1")]]
    await scan(scanner, ScanKind.OPEN)

    assert told.runs == ["run-1", "run-2"]
    assert told.open_ids[-1] == {"a/1"}
    assert "ExecutionStatus = 'Running'" in visibility.queries[-1]


async def test_what_is_open_is_listed_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_SECONDS", 0.0)
    told = Told()
    scanner = a_scanner(Visibility([a_row("a/1")]), A=told)
    scanner.synced.set()

    listing = asyncio.create_task(scanner._list_open())
    async with asyncio.timeout(5):
        while len(told.open_ids) < 2:  # noqa: ASYNC110 - it is counted, not told
            await asyncio.sleep(0.001)
    listing.cancel()

    assert set(told.open_ids) == {frozenset({"a/1"})}


def counted() -> float:
    return metrics.UNDECODABLE_ROWS._value.get()


@pytest.mark.parametrize("told", [Told(poison="a/1"), Told(unreadable=True)])
async def test_a_row_that_cannot_be_read_is_reported_once_for_each_state_of_its_run(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    visibility = Visibility([a_row("a/1")])
    scanner = a_scanner(visibility, A=told)
    before = counted()
    for _ in range(3):
        await scan(scanner, ScanKind.FULL)

    visibility.pages = [[a_row("a/1", run_id="run-2")]]
    await scan(scanner, ScanKind.FULL)

    about = [(record.workflow_id, record.run_id) for record in caplog.records]  # type: ignore[attr-defined]
    assert about == [("a/1", "run-1"), ("a/1", "run-2")]
    assert "KeyError" in caplog.records[0].error  # type: ignore[attr-defined]
    assert counted() - before == 2


async def test_a_run_that_cannot_be_read_is_told_all_the_same() -> None:
    """Its resource says so; without it the order would look as if it had never been started."""
    told = Told(unreadable=True)

    await scan(a_scanner(Visibility([a_row()]), A=told))

    assert told.runs == ["run-1"]


async def test_a_run_that_somebody_paused_is_open() -> None:
    """The SDK's enumeration does not have it: the scanner died at such a row."""
    paused = cast("WorkflowExecutionStatus", AnyStatus.WORKFLOW_EXECUTION_STATUS_PAUSED)
    told = Told()

    await scan(a_scanner(Visibility([a_row("a/1", status=paused)]), A=told), ScanKind.FULL)

    assert (told.runs, told.open_ids) == (["run-1"], [frozenset({"a/1"})])


async def test_a_status_that_a_newer_server_knows_harms_no_other_row() -> None:
    told = Told()

    unknown = a_row("a/1", status=cast("WorkflowExecutionStatus", 99))
    await scan(a_scanner(Visibility([unknown, a_row("a/2", run_id="run-2")]), A=told))

    assert told.runs == ["run-2"]


async def test_a_row_that_is_nobodys_is_looked_at_again_since_its_resource_may_come() -> None:
    told = Told(foreign={"a/1"})
    scanner = a_scanner(Visibility([a_row()]), A=told)
    await scan(scanner)

    told.foreign.clear()
    await scan(scanner)

    assert told.runs == ["run-1"]


async def test_a_full_scan_tells_which_runs_are_open() -> None:
    ended = a_row("a/3", status=WorkflowExecutionStatus.TERMINATED)
    visibility = Visibility([a_row("a/1")], [a_row("a/2"), ended])
    told = Told()

    await scan(a_scanner(visibility, A=told), ScanKind.FULL)

    assert told.open_ids == [frozenset({"a/1", "a/2"})]
    assert visibility.queries[0] == "WorkflowType IN ('A') AND ExecutionStatus != 'Completed'"


async def test_a_full_scan_that_breaks_off_says_of_no_run_that_it_is_gone() -> None:
    visibility, told = Visibility([a_row("a/1")], [a_row("a/2")]), Told()
    pages = iter([None, RPCStatusCode.UNAVAILABLE])

    def answer(_query: str) -> None:
        if (status := next(pages)) is not None:
            raise RPCError("no", status, b"")

    visibility.answer = answer
    scanner = a_scanner(visibility, A=told)

    assert not await scanner._try(ScanKind.FULL, None, 0)
    assert told.open_ids == []
    assert not scanner.synced.is_set()


async def test_a_client_that_is_replaced_is_asked_for_the_next_page() -> None:
    old, new = Visibility([a_row("a/1")], [a_row("a/2")]), Visibility([], [a_row("a/2", run_id="run-2")])
    told = Told()

    def answer(_query: str) -> None:
        old.client = new

    old.answer = answer
    await scan(a_scanner(old, A=told), ScanKind.FULL)

    assert told.runs == ["run-1", "run-2"]
    assert (len(old.queries), len(new.queries)) == (1, 1)


# Windows


@contextlib.asynccontextmanager
async def running(scanner: Scanner) -> AsyncIterator[None]:
    task = asyncio.create_task(scanner.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("skew", [timedelta(minutes=-10), timedelta(0), timedelta(minutes=10)])
async def test_the_first_windows_begin_at_the_newest_run_and_not_at_our_clock_or_the_oldest_open_one(
    skew: timedelta,
) -> None:
    """All that completed since an order that has been open for a month would be listed and read."""
    old = a_row(started=NOW - timedelta(days=30))
    ended = a_row("a/2", status=WorkflowExecutionStatus.COMPLETED, started=NOW + skew)
    visibility = Visibility()
    seen = asyncio.Event()

    def answer(query: str) -> None:
        visibility.pages = [[ended if "= 'Completed'" in query else old]]
        if "CloseTime" in query:
            seen.set()

    visibility.answer = answer
    async with running(a_scanner(visibility, A=Told())):
        await asyncio.wait_for(seen.wait(), 5)

    recent = next(query for query in visibility.queries if "CloseTime" in query)
    assert f"StartTime >= '{(NOW + skew - SWEEP_OVERLAP).isoformat(timespec='milliseconds')[:-6]}Z'" in recent


@pytest.mark.parametrize("skew", [timedelta(minutes=-10), timedelta(minutes=10)])
async def test_windows_count_from_the_newest_row_and_not_from_our_clock(skew: timedelta) -> None:
    """B15: a clock two minutes ahead showed every end fifteen minutes late."""
    scanner = a_scanner(Visibility([a_row(started=NOW + skew - timedelta(hours=1), updated=NOW + skew)]), A=Told())

    await scan(scanner, ScanKind.FULL)

    assert scanner.newest == NOW + skew


async def test_a_row_from_far_in_the_future_does_not_blind_the_scanner() -> None:
    scanner = a_scanner(Visibility([a_row(), a_row("a/2", updated=NOW + timedelta(days=365))]), A=Told())

    await scan(scanner, ScanKind.FULL)

    assert scanner.newest == NOW


async def test_before_there_is_a_row_everything_is_recent() -> None:
    visibility = Visibility()

    await scan(a_scanner(visibility, A=Told()), ScanKind.FAST, since=None)

    assert visibility.queries == ["WorkflowType IN ('A')"]


# Failures


def failing(status: RPCStatusCode) -> Callable[[str], None]:
    def answer(_query: str) -> None:
        raise RPCError("no", status, b"")

    return answer


@pytest.mark.parametrize(("status", "losses"), [(RPCStatusCode.UNAVAILABLE, 1), (RPCStatusCode.RESOURCE_EXHAUSTED, 0)])
async def test_a_scan_that_fails_is_no_end_and_only_an_unreachable_server_counts_as_lost(
    status: RPCStatusCode, losses: int
) -> None:
    visibility = Visibility()
    visibility.answer = failing(status)

    assert not await a_scanner(visibility, A=Told())._try(ScanKind.FAST, None, 0)
    assert visibility.losses == losses


async def test_a_full_scan_that_does_not_end_holds_up_no_fast_one_not_even_the_first() -> None:
    """B28: all status stood still for as long as it took. What changes meanwhile must be in some window."""
    visibility, told = Visibility([a_row()]), Told()
    scanner = a_scanner(visibility, A=told)
    shown, swept = asyncio.Event(), asyncio.Event()
    real = visibility.list_workflow_executions

    async def listed(request: ListWorkflowExecutionsRequest, **_: Any) -> Any:
        if "!= 'Completed'" in request.query:
            await asyncio.Event().wait()
        elif SWEPT_SINCE in request.query:
            swept.set()
        return await real(request)

    visibility.list_workflow_executions = listed  # type: ignore[method-assign]
    told.runs = Noticed(shown)
    async with running(scanner), asyncio.timeout(5):
        await shown.wait()
        await swept.wait()

    assert not scanner.synced.is_set()


async def test_a_sweep_that_does_not_end_holds_up_no_fast_scan() -> None:
    """A minute in which a thousand orders changed takes several pages. What ended meanwhile was shown after them."""
    row = a_row()
    visibility, fast = Visibility([row]), asyncio.Semaphore(0)
    real = visibility.list_workflow_executions

    async def listed(request: ListWorkflowExecutionsRequest, **_: Any) -> Any:
        if SWEPT_SINCE in request.query:
            await asyncio.Event().wait()
        elif "StartTime" in request.query:
            fast.release()
        return await real(request)

    visibility.list_workflow_executions = listed  # type: ignore[method-assign]
    async with running(a_scanner(visibility, A=Told())), asyncio.timeout(5):
        await fast.acquire()
        await fast.acquire()

    assert any("StartTime" in query for query in visibility.queries)


def asks_for_ends(query: str) -> bool:
    return "CloseTime" in query and "StartTime" not in query


@pytest.mark.parametrize("pages", [1, 2])
async def test_what_ended_is_asked_for_by_itself_while_the_fast_window_holds_more_than_a_page(pages: int) -> None:
    """In a burst the end of an order was behind a thousand rows of others, in each scan."""
    visibility, told = Visibility(*([a_row(f"a/{number}")] for number in range(pages))), Told()
    scanner = a_scanner(visibility, A=told)
    fast, shown = asyncio.Semaphore(0), asyncio.Event()
    real = visibility.list_workflow_executions
    ended = a_row("a/ended", run_id="ended", status=WorkflowExecutionStatus.COMPLETED)

    async def listed(request: ListWorkflowExecutionsRequest, **_: Any) -> Any:
        if asks_for_ends(request.query):
            visibility.queries.append(request.query)
            return ListWorkflowExecutionsResponse(executions=[ended])
        if "StartTime" in request.query and SWEPT_SINCE not in request.query:
            fast.release()
            if scanner._crowded:
                await asyncio.Event().wait()
        return await real(request)

    visibility.list_workflow_executions = listed  # type: ignore[method-assign]
    told.runs = Noticed(shown, "ended")
    async with running(scanner), asyncio.timeout(5):
        for _ in range(2):
            await fast.acquire()
        if pages > 1:
            await shown.wait()

    assert any(map(asks_for_ends, visibility.queries)) is (pages > 1)


class Noticed(list[str]):
    """Says when there is something in it, or that which is `awaited`."""

    def __init__(self, event: asyncio.Event, awaited: str = "") -> None:
        super().__init__()
        self._event = event
        self._awaited = awaited

    def append(self, item: str) -> None:
        super().append(item)
        if self._awaited in ("", item):
            self._event.set()


async def test_while_a_full_scan_reads_its_rows_others_have_their_turns() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    rows = [a_row(f"a/{number}") for number in range(10 * ROWS_AT_ONCE)]
    await scan(a_scanner(Visibility(rows), A=Told()), ScanKind.FULL)
    task.cancel()

    assert turns >= 10


async def test_scans_that_run_at_the_same_time_share_five_requests_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REQUEST_SECONDS >= 0.2
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.02)
    visibility = Visibility(*([a_row()] for _ in range(5)))
    scanner = a_scanner(visibility, A=Told())

    began = time.monotonic()
    await asyncio.gather(*(scan(scanner, kind, since=NOW) for kind in ScanKind if kind is not ScanKind.NEWEST))

    early = [at for number, at in enumerate(visibility.asked_at) if at < began + number * 0.02 - 0.001]
    assert (len(visibility.asked_at), early) == (25, [])


async def test_a_server_that_limits_requests_is_asked_ever_more_rarely_and_not_by_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    spread: set[tuple[float, float]] = set()

    async def sleep(seconds: float) -> None:
        if seconds > 0.0:
            pauses.append(seconds)

    def uniform(low: float, high: float) -> float:
        spread.add((low, high))
        return high

    monkeypatch.setattr(module, "FAST_SECONDS", 0.5)
    monkeypatch.setattr(module, "MAX_BACKOFF_SECONDS", 10.0)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(random, "uniform", uniform)
    visibility = Visibility()
    answers = iter([*[RPCStatusCode.RESOURCE_EXHAUSTED] * 6, None])

    def answer(_query: str) -> None:
        if (status := next(answers)) is not None:
            raise RPCError("slow down", status, b"")

    visibility.answer = answer
    await a_scanner(visibility, A=Told())._until_through(ScanKind.FULL)

    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert spread == {(0.5, 1.0)}
    assert visibility.losses == 0
