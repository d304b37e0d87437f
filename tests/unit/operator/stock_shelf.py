"""The operator's stock side, between an API server that takes every status and a Temporal that tells of rows."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from kubernetes.aio import client
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from order_domain.stock_item import StockSnapshot
from order_operator.cluster.api import ApiRefused, Conflict, KubernetesApi, NotFound
from order_operator.settings import Settings
from order_operator.stock_items import deletion, handover, intake, submission
from order_operator.stock_items.reconcile import StockReconciler
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import MEMO_ITEM
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import Run
from order_operator.temporal.scanner import Scanner
from order_workflows.contract import (
    MEMO_STOCK_SNAPSHOT,
    MEMO_UID,
    ORDER_CLUSTER,
    STOCK_ITEM_WORKFLOW_TYPE,
    stock_workflow_id,
)

RUNNING, COMPLETED = WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED
CREATED = "2026-01-02T03:04:00Z"


class Shelf:
    """The operator's stock side, between an API server that takes every status and a Temporal that tells of rows."""

    def __init__(self, temporal: Client) -> None:
        self.written: list[Mapping[str, Any]] = []
        self.connection = TemporalConnection(temporal, create_search_attributes=False)
        self.connection.problem = None
        self.scanner = Scanner(self.connection)
        self.scanner.synced.set()
        self._version = 0
        self.conflicts = 0
        self.refusal: client.ApiException | None = None
        self.events: list[client.EventsV1Event] = []
        self.there: StockItemResource | None = None
        """What the API server has, if it is asked."""
        settings = Settings(cluster="here", share_task_queue=True)
        self.stock = StockReconciler(cast("KubernetesApi", self), self.connection, self.scanner, settings)

    async def write_status(self, item: StockItemResource, status: Mapping[str, Any]) -> dict[str, Any]:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("changed meanwhile")
        if self.refusal is not None:
            raise ApiRefused(f"update stockitems/status: {self.refusal.status} {self.refusal.reason}", self.refusal)
        self.written.append(status)
        return self.body(item.uid, status=status)

    async def get(self, plural: str, _namespace: str, name: str) -> dict[str, Any]:
        if self.there is None:
            raise NotFound(plural, name)
        item = self.there
        metadata = {"namespace": item.namespace, "name": item.name, "uid": item.uid, "creationTimestamp": CREATED}
        metadata |= {"generation": item.generation, "resourceVersion": item.resource_version}
        return {"metadata": metadata, "spec": dict(item.spec), "status": dict(item.status)}

    async def create_event(self, _namespace: str, event: client.EventsV1Event) -> None:
        self.events.append(event)

    def body(self, uid: str, *, generation: int = 1, status: Mapping[str, Any] | None = None, **spec: Any) -> Any:
        self._version += 1
        names = {"namespace": "shop", "name": uid, "uid": uid, "creationTimestamp": CREATED}
        return {
            "metadata": {
                **names,
                "generation": generation,
                "resourceVersion": str(self._version),
                "creationTimestamp": CREATED,
            },
            "spec": {"sku": uid, "minimum": 1, "target": 2, **spec},
            "status": status or {},
        }

    def put(self, uid: str, **changes: Any) -> None:
        self.stock.intake.put(self.body(uid, **changes))

    async def publish(self, uid: str, memo: Any, *of_the_row: Any, **named: Any) -> None:
        """A row of visibility, about the run of the article that is named like the item."""
        row = await self.row(uid, memo, *of_the_row, **named)
        subscriber = self.scanner.subscribers[STOCK_ITEM_WORKFLOW_TYPE]
        run = await subscriber.decode(row)
        if run is not None:
            subscriber.observed(run)

    async def row(
        self,
        uid: str,
        memo: Any,
        status: WorkflowExecutionStatus = RUNNING,
        ended_before: float = 0.0,
        identifier: str | None = None,
        cluster: str | None = None,
        queue: str = "orders",
    ) -> WorkflowExecutionInfo:
        row = WorkflowExecutionInfo(status=int(status), task_queue=queue)  # type: ignore[arg-type]
        row.execution.workflow_id = identifier or stock_workflow_id("here", uid)
        row.execution.run_id = "run-1"
        for name, value in {MEMO_UID: uid, MEMO_ITEM: f"shop/{uid}", MEMO_STOCK_SNAPSHOT: memo}.items():
            (payload,) = await pydantic_data_converter.encode([value])
            row.memo.fields[name].CopyFrom(payload)
        if cluster is not None:
            row.search_attributes.indexed_fields[ORDER_CLUSTER.name].data = json.dumps(cluster).encode()
        if status is not RUNNING:
            row.close_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=ended_before))
        return row

    async def look(self, uid: str) -> float | None:
        return await self.stock.reconcile(uid)

    def said(self) -> tuple[str, str]:
        """Reason and message of Ready in the newest status."""
        [ready] = [item for item in self.written[-1]["conditions"] if item["type"] == "Ready"]
        return ready["reason"], ready.get("message", "")


def counts(seq: int = 1, **changes: Any) -> StockSnapshot:
    return StockSnapshot(**{"seq": seq, "generation": 1, "on_hand": 5, **changes})


async def shown(shelf: Shelf) -> Mapping[str, Any]:
    """A status with counts, as an operator wrote it that saw the workflow."""
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.look("a")
    return shelf.written[-1]


def temporal_finds(monkeypatch: pytest.MonkeyPatch, find: Callable[..., Any]) -> None:
    """What Temporal itself answers, asked for a workflow."""
    for module in (deletion, handover, intake, submission):
        monkeypatch.setattr(module, "find", find)


class Keeper:
    """The run that is found when an item asks for its article, and what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[str, WorkflowExecutionInfo] = {}
        """By workflow id."""
        self.cancelled: list[str] = []

        async def start(*_: object) -> None:
            """It runs already."""

        async def find(_client: Client, identifier: str) -> WorkflowExecutionInfo | None:
            return self.rows.get(identifier)

        async def request_cancel(_client: Client, run: Run) -> bool:
            self.cancelled.append(run.run_id)
            return True

        monkeypatch.setattr(submission, "start", start)
        temporal_finds(monkeypatch, find)
        for module in (deletion, handover):
            monkeypatch.setattr(module, "request_cancel", request_cancel)

    async def of(
        self,
        owner: str,
        item: str,
        cluster: str = "here",
        identifier: str = stock_workflow_id("here", "a"),
        status: WorkflowExecutionStatus = RUNNING,
    ) -> None:
        """There is this run."""
        row = WorkflowExecutionInfo(status=int(status), task_queue="orders")  # type: ignore[arg-type]
        row.execution.workflow_id, row.execution.run_id = identifier, "run-1"
        for name, value in {MEMO_UID: owner, MEMO_ITEM: item}.items():
            (payload,) = await pydantic_data_converter.encode([value])
            row.memo.fields[name].CopyFrom(payload)
        row.search_attributes.indexed_fields[ORDER_CLUSTER.name].data = json.dumps(cluster).encode()
        self.rows[identifier] = row
