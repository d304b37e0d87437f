"""A workflow's newest run, as visibility or the server itself shows it, whatever its type."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationError
from temporalio.api.enums.v1 import WorkflowExecutionStatus as AnyStatus
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.service import RPCError

from order_codec.payload_codec import EncryptingCodec
from order_codec.undecodable import KeyMissing, Undecodable
from order_domain.snapshot import OrderSnapshot
from order_domain.stock_item import StockSnapshot
from order_domain.value import Value
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.temporal.connection import TASK_PROBLEMS
from order_operator.temporal.not_found import is_no_such_run
from order_workflows.contract import ORDER_CLUSTER, UNREADABLE_YET


class WorkflowRef(Value):
    """The Temporal workflow behind the resource."""

    id: str
    """Workflow id: `order/<namespace>/<name>/<uid>`, or `stock/<installation>/<sku>`."""
    run_id: str | None = None
    """Run id of the run last seen."""
    namespace: str
    """Temporal namespace."""
    task_queue: str
    """Task queue of the workers that run it."""
    url: str | None = None
    """Its page in Temporal's Web UI, where the operator knows the address."""
    cluster: str | None = None
    """Identity of the installation whose order it carries. Not told of a stock item, whose workflow's id names it."""


RPC_TIMEOUT = timedelta(seconds=10)
LAST_EVENTS = 50
"""Of a history, among which the last failed task is: only the first attempt is written down, and messages that came
since stand behind it."""


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
    """What the workflow has published cannot be read: it has a format that this operator does not know, or is encoded
    in another way, or is another's."""
    unreadable_because: str = ""
    """Why, as far as that is known."""
    lacks_key: bool = False
    """Unreadable for want of a key alone."""
    task_problems: tuple[str, ...] = ()
    """What the server says of workflow tasks that fail again and again, such as `cause=…UnhandledFailure`."""
    workers_lack: str = ""
    """The key that they fail for, as the worker says it; empty where they fail for something else."""

    @property
    def shares_id(self) -> bool:
        """Whether another run of this workflow id may belong to another resource."""
        return False

    @property
    def running(self) -> bool:
        """Whether the run is open."""
        return self.status is WorkflowExecutionStatus.RUNNING

    @property
    def seq(self) -> int:
        """Of the newest change that the run has published; -1 if it has published none."""
        return -1

    def precedes(self, other: "Run") -> bool:
        """Whether this is what was true before `other`: what visibility and the server tell may cross."""
        if self.run_id != other.run_id:
            return bool(self.start_time and other.start_time and self.start_time < other.start_time)
        return (not self.running, self.seq) < (not other.running, other.seq)


class Unreadable(Exception):
    """A memo cannot be decoded; says why. `lacks_key`: with a key that the operator has not got it could be."""

    def __init__(self, why: str, *, lacks_key: bool = False) -> None:
        super().__init__(why)
        self.lacks_key = lacks_key


async def memo_values(client: Client, row: WorkflowExecutionInfo, keys: Sequence[str]) -> dict[str, Any]:
    """Those of the `keys` that the row's memo has, decoded. Raises Unreadable."""
    memo = row.memo.fields
    names = [name for name in keys if name in memo]
    if not names:
        return {}
    try:
        values = await converter_of(client, row.execution.workflow_id).decode([memo[name] for name in names])
    except Undecodable as failed:
        raise Unreadable(str(failed), lacks_key=isinstance(failed, KeyMissing)) from failed
    except Exception as failed:  # whatever a converter raises at foreign bytes
        raise Unreadable(in_a_line(failed)) from failed
    return dict(zip(names, values, strict=True))


def in_a_line(failed: Exception) -> str:
    """What a converter raised at foreign bytes, for a log line or a message; 200 characters at most."""
    return f"{type(failed).__name__}: {failed}"[:200]


async def missing_key(client: Client, row: WorkflowExecutionInfo) -> str:
    """What workers lack who cannot go on with a run, as its last failed task says; empty if that says something else,
    or none has failed often. Costs a request for a run that begins to fail, and none for others."""
    if not task_problems(row):
        return ""
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace, execution=row.execution, maximum_page_size=LAST_EVENTS
    )
    try:
        answer = await client.workflow_service.get_workflow_execution_history_reverse(request, timeout=RPC_TIMEOUT)
    except (RPCError, RuntimeError):  # then the server's own words are told, as of every other task that fails
        return ""
    failures = (
        event.workflow_task_failed_event_attributes.failure
        for event in answer.history.events
        if event.HasField("workflow_task_failed_event_attributes")
    )
    failure = next(failures, Failure())
    while failure.application_failure_info.type not in UNREADABLE_YET and failure.HasField("cause"):
        failure = failure.cause
    return failure.message if failure.application_failure_info.type in UNREADABLE_YET else ""


def converter_of(client: Client, workflow_id: str) -> DataConverter:
    """What one workflow's payloads are read with: those of another one are refused."""
    return client.data_converter.with_context(WorkflowSerializationContext(client.namespace, workflow_id))


def keys_version(client: Client) -> int:
    """Grows when keys were read that payloads are decrypted with."""
    codec = client.data_converter.payload_codec
    return codec.ring.refresh() if isinstance(codec, EncryptingCodec) else 0


def run_fields(row: WorkflowExecutionInfo) -> dict[str, Any]:
    """The fields of `Run` that a row has whatever its type."""
    return {
        "workflow_id": row.execution.workflow_id,
        "run_id": row.execution.run_id,
        "status": _status(row),
        "task_queue": row.task_queue,
        "start_time": start_of(row),
        "close_time": close_of(row),
        "task_problems": task_problems(row),
    }


def start_of(row: WorkflowExecutionInfo) -> datetime | None:
    """When the run started, by the server's clock."""
    return row.start_time.ToDatetime(UTC) if row.HasField("start_time") else None


def close_of(row: WorkflowExecutionInfo) -> datetime | None:
    """When the run ended, by the server's clock; None if it goes on."""
    return row.close_time.ToDatetime(UTC) if row.HasField("close_time") else None


def is_open(row: WorkflowExecutionInfo) -> bool:
    """Whether the run goes on. One that somebody paused does."""
    return row.status in {AnyStatus.WORKFLOW_EXECUTION_STATUS_RUNNING, AnyStatus.WORKFLOW_EXECUTION_STATUS_PAUSED}


def _status(row: WorkflowExecutionInfo) -> WorkflowExecutionStatus:
    """Raises ValueError for what this release does not know. The SDK has no word for a paused run."""
    return WorkflowExecutionStatus.RUNNING if is_open(row) else WorkflowExecutionStatus(row.status)


def task_problems(row: WorkflowExecutionInfo) -> tuple[str, ...]:
    payload = row.search_attributes.indexed_fields.get(TASK_PROBLEMS)
    if payload is None or not is_open(row):
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


async def find(client: Client, workflow_id: str) -> WorkflowExecutionInfo | None:
    """The newest run of any workflow as the server itself knows it, not visibility; None if there is none.
    Raises RPCError where it gives no answer to that."""
    try:
        return (await description(client, workflow_id)).workflow_execution_info
    except RPCError as failed:
        if is_no_such_run(failed):
            return None
        raise


async def description(client: Client, workflow_id: str, run_id: str | None = None) -> DescribeWorkflowExecutionResponse:
    """All that the server tells of a run, by default the newest, with the work that it waits for. Raises RPCError."""
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    return (await handle.describe(rpc_timeout=RPC_TIMEOUT)).raw_description


def failing(run: Run | None, carried: str) -> Problem | None:
    """The workflow's own code fails, or does not come to an end, at every attempt of a task; `carried` names what it
    carries."""
    if run is None or not run.running or not run.task_problems:
        return None
    if run.workers_lack:
        why = f"a worker cannot read something of this {carried}'s history: {run.workers_lack}"
        return Problem(Reason.ENCRYPTION_KEY_MISSING, why, stalled=True)
    what = ", ".join(run.task_problems)
    remedy = "deploy a worker without the fault, and it goes on"
    message = f"the workers' code cannot go on with this {carried} ({what}): {remedy}"
    return Problem(Reason.WORKFLOW_TASK_FAILED, message, stalled=True)


def workflow_ref(run: Run | None, namespace: str, ui: str = "", cluster: str | None = None) -> WorkflowRef | None:
    """Where to look further; `namespace` is Temporal's, `ui` the address of its Web UI, if it is known, `cluster` the
    installation that has the order."""
    if run is None:
        return None
    return WorkflowRef(
        id=run.workflow_id,
        run_id=run.run_id or None,
        namespace=namespace,
        task_queue=run.task_queue,
        url=_page(run, namespace, ui) if ui and run.run_id else None,
        cluster=cluster,
    )


def _page(run: Run, namespace: str, ui: str) -> str:
    path = "/".join(quote(part, safe="") for part in (namespace, "workflows", run.workflow_id, run.run_id, "history"))
    return f"{ui.rstrip('/')}/namespaces/{path}"


def cluster_of(row: WorkflowExecutionInfo) -> str | None:
    """Identity of the installation that started the run."""
    payload = row.search_attributes.indexed_fields.get(ORDER_CLUSTER.name)
    try:
        name = json.loads(payload.data) if payload is not None else None
    except ValueError:
        return None
    return name if isinstance(name, str) else None
