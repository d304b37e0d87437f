"""What the scanner asks of Temporal and tells its subscribers, with scripted pages of visibility."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from order_operator.temporal import scanner as module
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import Run
from order_operator.temporal.scanner import ScanKind, Scanner, Subscriber
from order_workflows.contract import ORDER_UPDATED_AT

NOW = datetime.now(UTC).replace(microsecond=0)


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
    """Temporal. `pages` are listed one after the other; `answer` replaces that."""

    def __init__(self, *pages: list[WorkflowExecutionInfo]) -> None:
        self.namespace = "default"
        self.pages = list(pages)
        self.queries: list[str] = []
        self.client = self.workflow_service = self
        self.reports_task_problems = False
        self.problem = None
        self.losses = 0
        self.answer: Callable[[str], None] | None = None

    async def list_workflow_executions(self, request: ListWorkflowExecutionsRequest, **_: Any) -> Any:
        self.queries.append(request.query)
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
    foreign: set[str] = field(default_factory=set)

    async def decode(self, row: WorkflowExecutionInfo) -> Run | None:
        if row.execution.workflow_id == self.poison:
            raise KeyError("Unknown payload encoding")
        if row.execution.workflow_id in self.foreign:
            return None
        status = WorkflowExecutionStatus(row.status)
        return Run(workflow_id=row.execution.workflow_id, run_id=row.execution.run_id, status=status, task_queue="q")

    def subscriber(self) -> Subscriber[Run]:
        return Subscriber(
            decode=self.decode,
            observed=lambda run: self.runs.append(run.run_id),
            live=lambda: True,
            resynced=self.open_ids.append,
        )


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAST_SECONDS", "IDLE_SECONDS", "BETWEEN_PAGES_SECONDS", "MAX_BACKOFF_SECONDS"):
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


# Windows


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


async def test_a_full_scan_that_does_not_end_holds_up_no_fast_one() -> None:
    visibility = Visibility([a_row()])
    scanner = a_scanner(visibility, A=Told())
    await scan(scanner, ScanKind.FULL)
    stuck, fast = asyncio.Event(), asyncio.Event()
    real = visibility.list_workflow_executions

    async def listed(request: ListWorkflowExecutionsRequest, **_: Any) -> Any:
        if "Completed" in request.query:
            await stuck.wait()
        fast.set()
        return await real(request)

    visibility.list_workflow_executions = listed  # type: ignore[method-assign]
    running = asyncio.create_task(scanner.run())

    await asyncio.wait_for(fast.wait(), 5)

    running.cancel()
