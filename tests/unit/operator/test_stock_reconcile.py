"""What the operator writes of stock items, and when; nothing here reaches a server."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from encryption_keys import ring_file
from kubernetes.aio import client
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from order_codec.settings import data_converter
from order_domain.stock_item import StockSnapshot, SupplierOrderRecord
from order_operator.cluster.api import ApiRefused, Conflict, KubernetesApi, Listed, NotFound
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.stock_items import orphans, reconcile
from order_operator.stock_items.reconcile import StockReconciler
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import MEMO_ITEM
from order_operator.temporal.connection import NOT_ANSWERED, UNREACHABLE, TemporalConnection
from order_operator.temporal.runs import Run
from order_operator.temporal.scanner import Scanner
from order_operator.temporal.starting import Start
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_operator.work_queue import MAX_BACKOFF_SECONDS
from order_workflows.contract import (
    MEMO_STOCK_SNAPSHOT,
    MEMO_UID,
    ORDER_CLUSTER,
    STOCK_ITEM_WORKFLOW_TYPE,
    former_stock_workflow_id,
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
        self.stock.put(self.body(uid, **changes))

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
        return await self.stock._reconcile(uid)

    def said(self) -> tuple[str, str]:
        """Reason and message of Ready in the newest status."""
        [ready] = [item for item in self.written[-1]["conditions"] if item["type"] == "Ready"]
        return ready["reason"], ready.get("message", "")


@pytest.fixture
async def shelf() -> Shelf:
    # Never connects: whoever called Temporal here would be told so.
    return Shelf(await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter))


def counts(seq: int = 1, **changes: Any) -> StockSnapshot:
    return StockSnapshot(**{"seq": seq, "generation": 1, "on_hand": 5, **changes})


async def test_what_is_shown_already_is_not_written_again(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.look("a")

    assert await shelf.look("a") is None
    assert len(shelf.written) == 1


async def test_a_second_change_is_written_when_the_second_is_over(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.look("a")
    await shelf.publish("a", counts(seq=2, on_hand=4))

    wait = await shelf.look("a")

    assert len(shelf.written) == 1
    assert wait is not None
    assert 0 < wait <= 1
    await asyncio.sleep(wait)
    assert await shelf.look("a") is None
    assert [status["onHand"] for status in shelf.written] == [5, 4]


async def test_a_write_that_meets_newer_versions_is_tried_ever_more_rarely(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B31: items that met one another's writes met again a second later, all at once."""
    monkeypatch.setattr(reconcile, "WRITE_INTERVAL_SECONDS", 0.0)
    shelf.put("a")
    await shelf.publish("a", counts())
    shelf.conflicts = 6
    pauses = [await shelf.look("a") or 0.0 for _ in range(6)]
    await shelf.look("a")
    await shelf.publish("a", counts(seq=2, on_hand=4))
    shelf.conflicts = 1
    after_a_success = await shelf.look("a") or 0.0

    assert [0.5 <= pauses[0] <= 1.0, 4.0 <= pauses[3] <= 8.0, 5.0 <= pauses[5] <= 10.0] == [True, True, True]
    assert 0.5 <= after_a_success <= 1.0


@pytest.mark.parametrize(("status", "told"), [(422, ["StatusRefused"]), (429, [])])
async def test_a_status_that_is_refused_for_its_content_is_told_by_an_event_of_the_item(
    shelf: Shelf, status: int, told: list[str]
) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    shelf.refusal = client.ApiException(status=status, reason="status.onHand: Invalid value")

    with pytest.raises(ApiRefused):
        await shelf.look("a")
    await asyncio.sleep(0)

    assert [event.reason for event in shelf.events] == told
    assert [(event.regarding.kind, event.regarding.name) for event in shelf.events if event.regarding] == [
        ("StockItem", "a") for _ in told
    ]


async def test_an_older_row_does_not_bring_back_older_counts(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = await shelf.row("a", counts(seq=2, on_hand=4))

    async def find(*_: object) -> WorkflowExecutionInfo:
        return newest

    monkeypatch.setattr(reconcile, "find", find)
    shelf.put("a")
    await shelf.publish("a", counts(seq=2, on_hand=4))
    await shelf.publish("a", counts(seq=1))

    await shelf.look("a")

    assert [status["onHand"] for status in shelf.written] == [4]


async def test_the_status_of_a_newer_worker_is_left_alone(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", {"version": 2})

    assert await shelf.look("a") is None
    assert shelf.written == []


async def test_a_spec_that_admission_did_not_check_is_refused_once(shelf: Shelf) -> None:
    shelf.put("a", target=0)

    assert await shelf.look("a") is None
    assert await shelf.look("a") is None
    assert len(shelf.written) == 1
    reason, message = shelf.said()
    assert (reason, "target must be at least minimum" in message) == (Reason.INVALID_SPEC, True)


async def shown(shelf: Shelf) -> Mapping[str, Any]:
    """A status with counts, as an operator wrote it that saw the workflow."""
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.look("a")
    return shelf.written[-1]


@pytest.mark.parametrize("target", [2, 0], ids=["valid", "refused by a rule of today"])
@pytest.mark.parametrize(
    ("problem", "synced"), [(NOT_ANSWERED, False), (NOT_ANSWERED, True), (None, False)], ids=["start", "asks", "scans"]
)
async def test_an_item_keeps_its_status_until_its_workflow_can_have_been_seen(
    shelf: Shelf, target: int, problem: Problem | None, synced: bool
) -> None:
    """B2: one whose spec a newer rule refuses lost its counts and its workflow at each start."""
    status = await shown(shelf)
    started = Shelf(shelf.connection.client)
    started.connection.problem = problem
    if not synced:
        started.scanner.synced.clear()
    started.put("a", status=status, target=target)

    assert await started.look("a") is None
    assert started.written == []


async def test_a_refused_item_whose_workflow_is_not_seen_while_temporal_is_away_keeps_its_counts(shelf: Shelf) -> None:
    status = await shown(shelf)
    started = Shelf(shelf.connection.client)
    started.connection.problem = UNREACHABLE
    started.put("a", status=status, target=0)

    again = await started.look("a")

    assert again is not None
    assert started.said()[0] == Reason.TEMPORAL_UNAVAILABLE
    assert (started.written[-1]["onHand"], started.written[-1]["workflow"]) == (5, status["workflow"])


async def test_before_the_first_full_scan_nothing_is_started(shelf: Shelf) -> None:
    shelf.scanner.synced.clear()
    shelf.put("a")

    assert await shelf.look("a") is None
    assert shelf.written == []


async def test_while_temporal_is_away_the_item_says_so_and_looks_again(shelf: Shelf) -> None:
    shelf.connection.problem = UNREACHABLE
    shelf.put("a")

    again = await shelf.look("a")

    assert again is not None
    assert shelf.said() == (UNREACHABLE.reason, UNREACHABLE.message)


@pytest.mark.parametrize(
    "words", ["Namespace orders has no mapping defined for search attribute OrderCluster", "the input is too long"]
)
async def test_an_item_whose_workflow_temporal_refused_looks_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """It waited for ever, for a change of its spec."""

    async def refuse(*_: object) -> None:
        raise RPCError(words, RPCStatusCode.INVALID_ARGUMENT, b"")

    monkeypatch.setattr(reconcile, "start", refuse)
    shelf.put("a")

    again = await shelf.look("a")

    assert again is not None
    assert again <= MAX_BACKOFF_SECONDS


@pytest.fixture
def starts(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the workflows that were started; none of them is found right away."""
    started: list[str] = []

    async def start(_client: Client, wanted: Start) -> None:
        started.append(wanted.workflow_id)

    async def find(*_: object) -> None:
        """No row yet."""

    monkeypatch.setattr(reconcile, "start", start)
    monkeypatch.setattr(reconcile, "find", find)
    return started


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0], ids=["alike", "the server is ahead", "the server is behind"])
async def test_a_run_that_ended_under_its_item_is_replaced_when_the_pause_is_over_by_whatever_clock(
    shelf: Shelf, starts: list[str], monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """Ten minutes behind the server, nobody kept the article for ten minutes."""
    shelf.put("a")
    await shelf.publish("a", counts(), COMPLETED, ended_before=-ahead)

    again = await shelf.look("a")
    before, said = list(starts), shelf.said()[0]
    monkeypatch.setattr(reconcile, "RESTART_SECONDS", 0.0)
    await shelf.look("a")

    assert (again is not None, before, said) == (True, [], Reason.WORKFLOW_TERMINATED)
    assert starts == [stock_workflow_id("here", "a")]


async def test_settings_for_a_run_that_temporal_has_lost_begin_another(
    shelf: Shelf, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row told of an end, and the item waited for its settings until the next full scan."""

    async def lost(*_: object, **__: object) -> None:
        raise RPCError("workflow not found for ID: stock/here/a", RPCStatusCode.NOT_FOUND, b"")

    monkeypatch.setattr(WorkflowHandle, "signal", lost)
    await shown(shelf)
    monkeypatch.setattr(reconcile, "WRITE_INTERVAL_SECONDS", 0.0)
    shelf.put("a", generation=2, status=shelf.written[-1])

    again = await shelf.look("a")
    told = shelf.said()[0], shelf.written[-1]["onHand"]
    await shelf.look("a")

    assert again is not None
    assert again <= MAX_BACKOFF_SECONDS
    assert told == (Reason.SUBMITTING, 5)
    assert starts == [stock_workflow_id("here", "a")]


async def test_a_run_that_goes_on_under_another_id_is_no_end(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts())
    await shelf.publish("a", counts(), WorkflowExecutionStatus.CONTINUED_AS_NEW)

    await shelf.look("a")

    assert shelf.said()[0] == Reason.KEPT


async def test_an_edit_that_temporal_cannot_be_told_of_is_not_observed_yet(shelf: Shelf) -> None:
    shelf.put("a", generation=2)
    await shelf.publish("a", counts())
    shelf.connection.problem = UNREACHABLE

    again = await shelf.look("a")

    assert again is not None
    assert shelf.written[0]["observedGeneration"] == 1
    assert shelf.said()[0] == Reason.TEMPORAL_UNAVAILABLE


async def test_a_list_tells_of_what_the_watch_has_not_brought(shelf: Shelf) -> None:
    shelf.put("a")
    known, newer, unknown = (
        Listed("a", "shop", "a", 1),
        Listed("a", "shop", "a", 2),
        Listed("b", "shop", "b", 1),
    )

    assert shelf.stock.compare({"a": known}, 9) == []
    assert shelf.stock.compare({"a": newer, "b": unknown}, 9) == [newer, unknown]


async def test_an_item_older_than_known_in_a_later_list_is_told_with_the_known_version(shelf: Shelf) -> None:
    shelf.put("a")
    shelf.put("a")
    earlier = Listed("a", "shop", "a", 1)

    assert shelf.stock.compare({"a": earlier}, 9) == [earlier._replace(known_version=2)]
    assert shelf.stock.compare({"a": earlier}, 1) == []


async def test_a_workflow_of_another_installation_is_none_of_ours(shelf: Shelf) -> None:
    shelf.connection.problem = UNREACHABLE
    shelf.put("a")
    await shelf.publish("a", counts(), identifier=stock_workflow_id("there", "a"))

    await shelf.look("a")

    assert "onHand" not in shelf.written[-1]


@pytest.mark.parametrize(("cluster", "cancelled"), [("here", 1), ("there", 0), ("default", 0), (None, 0)])
async def test_only_a_workflow_of_this_installation_is_cancelled_for_want_of_its_item(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, cluster: str | None, cancelled: int
) -> None:
    """B9: two clusters cancelled each other's, whose items they could not see."""
    told: list[str] = []

    async def request_cancel(_client: Client, run: Run) -> bool:
        told.append(run.workflow_id)
        return True

    monkeypatch.setattr(orphans, "request_cancel", request_cancel)
    monkeypatch.setattr(orphans, "TWO_LOOKS_SECONDS", 0.0)
    await shelf.publish("a", counts(), identifier=former_stock_workflow_id("a"), cluster=cluster)

    for _ in range(2):
        shelf.stock.compare({}, 9)
        await asyncio.sleep(0)

    assert len(told) == cancelled


async def test_the_workflow_of_an_earlier_release_is_shown_until_another_takes_its_place(shelf: Shelf) -> None:
    shelf.connection.problem = UNREACHABLE
    shelf.put("a")
    await shelf.publish("a", counts(), identifier=former_stock_workflow_id("a"))

    again = await shelf.look("a")

    assert again is not None
    assert (shelf.written[-1]["onHand"], shelf.written[-1]["workflow"]["id"]) == (5, "stock/a")


@pytest.mark.usefixtures("keeper")
async def test_an_article_that_another_installation_keeps_is_taken(shelf: Shelf) -> None:
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=stock_workflow_id("there", "a")))

    await shelf.look("a")

    assert shelf.said()[0] == Reason.SKU_TAKEN
    assert "stock/there/a" in shelf.said()[1]


async def test_an_article_whose_workflow_lacks_its_key_is_not_taken_for_anothers(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = stock_workflow_id("here", "a")
    keys = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "lost")), "ORDER_ENCRYPTION_WRITE": "true"}
    writer = data_converter(keys).with_context(WorkflowSerializationContext("default", identifier))
    row = WorkflowExecutionInfo(status=int(RUNNING), task_queue="orders")  # type: ignore[arg-type]
    row.execution.workflow_id = identifier
    (payload,) = await writer.encode(["a"])
    row.memo.fields[MEMO_UID].CopyFrom(payload)
    shelf.connection.client = await Client.connect("127.0.0.1:1", lazy=True, data_converter=data_converter({}))

    async def started(*_: object) -> None:
        """It runs already."""

    async def found(*_: object) -> WorkflowExecutionInfo:
        return row

    monkeypatch.setattr(reconcile, "start", started)
    monkeypatch.setattr(reconcile, "find", found)
    shelf.put("a")
    await shelf.stock._reconcile("a")

    reason, message = shelf.said()
    assert reason == Reason.ENCRYPTION_KEY_MISSING
    assert "'lost'" in message


async def test_an_article_is_not_kept_on_the_task_queue_of_another_installation_and_says_so(
    shelf: Shelf, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def problem(_: TaskQueueOwner) -> Problem:
        return Problem(Reason.TASK_QUEUE_TAKEN, "taken", stalled=True)

    monkeypatch.setattr(TaskQueueOwner, "problem", problem)
    shelf.put("a")

    await shelf.look("a")

    assert starts == []
    assert shelf.said() == (Reason.TASK_QUEUE_TAKEN, "taken")


@pytest.mark.parametrize(
    "problem",
    [
        Problem(Reason.TASK_QUEUE_TAKEN, "taken", stalled=True),
        Problem(Reason.ENCRYPTION_KEY_MISSING, "lacks the key", stalled=True),
        Problem(Reason.TEMPORAL_REFUSED, "too long", stalled=True),
    ],
    ids=lambda problem: problem.reason,
)
async def test_an_item_whose_workflow_cannot_be_asked_for_keeps_its_counts(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, problem: Problem
) -> None:
    """An operator that was started without the key took the counts off every article: none was below its minimum."""

    async def cannot_tell(*_: object) -> Problem:
        return problem

    status = await shown(shelf)
    started = Shelf(shelf.connection.client)
    monkeypatch.setattr(started.stock, "_start", cannot_tell)
    started.put("a", status=status)

    again = await started.look("a")

    assert again is not None
    assert started.said() == (problem.reason, problem.message)
    assert (started.written[-1]["onHand"], started.written[-1]["workflow"]) == (5, status["workflow"])


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Settings that were sent."""
    sent: list[Any] = []

    async def signal(_handle: object, _name: str, settings: Any, **_: object) -> None:
        sent.append(settings)

    monkeypatch.setattr(WorkflowHandle, "signal", signal)
    return sent


async def test_an_item_that_a_restored_etcd_set_back_does_not_say_that_its_settings_are_in_force(
    shelf: Shelf, configured: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its edits were ignored until their count passed that of before the restore, and it said `Kept`."""
    monkeypatch.setattr(reconcile, "ANSWER_GRACE_SECONDS", 0.0)
    shelf.put("a", generation=5, minimum=3, target=4)
    shelf.there = shelf.stock._tracked["a"].resource
    await shelf.publish("a", counts(generation=7))

    again = await shelf.look("a")
    told, observed = shelf.said()[0], shelf.written[-1]["observedGeneration"]
    monkeypatch.setattr(reconcile, "WRITE_INTERVAL_SECONDS", 0.0)
    await shelf.publish("a", counts(seq=2, generation=5))
    await shelf.look("a")

    [sent] = configured
    assert again is not None
    assert (told, observed) == (Reason.APPLYING, 4)
    assert (sent.generation, sent.minimum, sent.instead_of) == (5, 3, 7)
    assert (shelf.said()[0], shelf.written[-1]["observedGeneration"]) == (Reason.KEPT, 5)


async def test_settings_of_a_version_that_is_only_late_are_not_sent_back(shelf: Shelf, configured: list[Any]) -> None:
    """Another leader has brought a newer one, which the watch has yet to bring."""
    shelf.put("a", generation=5)
    shelf.there = StockItemResource.from_body(shelf.body("a", generation=7))
    await shelf.publish("a", counts(generation=7))

    await shelf.look("a")

    assert configured == []
    assert shelf.stock._tracked["a"].resource.generation == 7


async def test_an_item_whose_workflow_lets_its_article_go_is_not_called_kept(shelf: Shelf) -> None:
    """It was deleted, and is there again under its uid: nobody keeps the article until its workflow has ended."""
    shelf.put("a")
    await shelf.publish("a", counts(released=True))

    await shelf.look("a")

    assert shelf.said()[0] == Reason.SUBMITTING
    assert [each["status"] for each in shelf.written[-1]["conditions"] if each["type"] == "Ready"] == ["Unknown"]


@pytest.mark.parametrize(("in_temporal", "sent"), [(3, [2]), (5, [])], ids=["restored", "visibility lags"])
async def test_settings_that_a_restored_temporal_has_forgotten_are_sent_again(
    shelf: Shelf, configured: list[Any], monkeypatch: pytest.MonkeyPatch, in_temporal: int, sent: list[int]
) -> None:
    """What the workflow had shown before counted as heard for ever: it kept the article by the former settings."""
    before, after = counts(seq=3), counts(seq=5, generation=2)
    there = await shelf.row("a", before if in_temporal == before.seq else after)

    async def find(*_: object) -> WorkflowExecutionInfo:
        return there

    monkeypatch.setattr(reconcile, "find", find)
    shelf.put("a", generation=2)
    await shelf.publish("a", after)
    await shelf.publish("a", before)

    await shelf.look("a")

    assert [settings.generation for settings in configured] == sent


@pytest.mark.parametrize(
    ("later", "released", "times"),
    [(0.0, False, 1), (601.0, False, 2), (601.0, True, 1)],
    ids=["just told", "told long ago", "it shows that it has heard"],
)
async def test_a_workflow_that_does_not_show_that_it_was_told_of_its_items_deletion_is_told_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, later: float, released: bool, times: int
) -> None:
    """Temporal was restored to a moment before: the article was kept for ever by the rules of an item that was gone."""
    told: list[str] = []

    async def request_cancel(_client: Client, run: Run) -> bool:
        told.append(run.workflow_id)
        return True

    monkeypatch.setattr(orphans, "request_cancel", request_cancel)
    monkeypatch.setattr(orphans, "TWO_LOOKS_SECONDS", 0.0)
    await shelf.publish("a", counts(), cluster="here")
    shelf.stock.compare({}, 9)
    await asyncio.sleep(0)
    shelf.stock._let_go = {run: at - later for run, at in shelf.stock._let_go.items()}
    await shelf.publish("a", counts(seq=2, released=released), cluster="here")

    shelf.stock.compare({}, 9)
    await asyncio.sleep(0)

    assert len(told) == times


class Keeper:
    """The run that is found when an item asks for its article, and what it was asked."""

    def __init__(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shelf = shelf
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

        monkeypatch.setattr(reconcile, "start", start)
        monkeypatch.setattr(reconcile, "find", find)
        monkeypatch.setattr(reconcile, "request_cancel", request_cancel)

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


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the workflows that were told to look at the ledger."""
    told: list[str] = []

    async def signal(handle: WorkflowHandle[Any, Any], _name: str, **_: object) -> None:
        told.append(handle.id)

    monkeypatch.setattr(WorkflowHandle, "signal", signal)
    return told


@pytest.fixture
def keeper(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    return Keeper(shelf, monkeypatch)


async def test_an_item_that_was_restored_under_another_uid_has_the_former_ones_workflow_end_once(
    shelf: Shelf, keeper: Keeper
) -> None:
    """Eleven items of a backup waited for ever, each for a StockItem of its own name: the brake held."""
    await keeper.of("former-uid", "shop/a")
    shelf.put("a")
    shelf.there = shelf.stock._tracked["a"].resource

    for _ in range(2):
        await shelf.look("a")

    assert keeper.cancelled == ["run-1"]
    assert shelf.said()[0] == Reason.SKU_TAKEN
    assert "had this name before" in shelf.said()[1]


@pytest.mark.parametrize(
    ("item", "cluster", "there"),
    [("shop/b", "here", True), ("shop/a", "there", True), ("shop/a", "here", False)],
    ids=["another item", "another installation", "it is gone itself"],
)
async def test_a_workflow_that_may_have_its_item_is_not_ended_for_another(
    shelf: Shelf, keeper: Keeper, item: str, cluster: str, there: bool
) -> None:
    await keeper.of("former-uid", item, cluster)
    shelf.put("a")
    if there:
        shelf.there = shelf.stock._tracked["a"].resource

    await shelf.look("a")

    assert keeper.cancelled == []


async def test_the_workflow_that_this_item_had_under_another_identity_hands_the_article_over(
    shelf: Shelf, keeper: Keeper, signalled: list[str]
) -> None:
    """The value `cluster` was changed: every item waited for ever for an installation that is this one."""
    there = stock_workflow_id("there", "a")
    await keeper.of("a", "shop/a", "there", identifier=there)
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=there))

    again = await shelf.look("a")
    before = list(signalled)
    await keeper.of("a", "shop/a", "there", identifier=there, status=COMPLETED)
    await shelf.look("a")

    assert again is not None
    assert (keeper.cancelled, before) == (["run-1"], [])
    assert signalled == [stock_workflow_id("here", "a")]


async def test_an_article_that_a_stopped_workflow_of_another_identity_keeps_is_taken(
    shelf: Shelf, keeper: Keeper, signalled: list[str]
) -> None:
    """It was terminated before it let the article go, and nobody starts it again: it was told every ten seconds."""
    there = stock_workflow_id("there", "a")
    await keeper.of("a", "shop/a", "there", identifier=there, status=WorkflowExecutionStatus.TERMINATED)
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=there))

    await shelf.look("a")

    assert (keeper.cancelled, signalled) == ([], [])
    assert shelf.said()[0] == Reason.SKU_TAKEN


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Task queues whose tasks a worker asks for."""
    asked: set[str] = set()

    async def has_workers(_: Client, queue: str) -> bool:
        return queue in asked

    monkeypatch.setattr(reconcile, "has_workers", has_workers)
    return asked


@pytest.fixture
def terminated(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Run ids of what was terminated."""
    told: list[str | None] = []

    async def terminate(handle: WorkflowHandle[Any, Any], *_: object, **__: object) -> None:
        told.append(handle.run_id)

    monkeypatch.setattr(WorkflowHandle, "terminate", terminate)
    return told


async def test_an_article_whose_task_queue_has_no_worker_any_more_is_kept_on_the_operators_own(
    shelf: Shelf, queues: set[str], terminated: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting was changed, and the workers moved: nothing was restocked any more."""
    begun: list[Start] = []

    async def start(_client: Client, wanted: Start) -> None:
        begun.append(wanted)

    async def find(*_: object) -> None:
        """No row yet."""

    monkeypatch.setattr(reconcile, "start", start)
    monkeypatch.setattr(reconcile, "find", find)
    on_order = SupplierOrderRecord(id="a/1/x", quantity=3)
    queues.add("orders")
    shelf.put("a")
    await shelf.publish("a", counts(supplier_order=on_order), cluster="here", queue="earlier")

    await shelf.look("a")
    said = shelf.said()[0]
    monkeypatch.setattr(reconcile, "RESTART_SECONDS", 0.0)
    await shelf.look("a")

    assert (terminated, said) == (["run-1"], Reason.WORKFLOW_TERMINATED)
    assert [(wanted.task_queue, wanted.argument.on_order) for wanted in begun] == [("orders", on_order)]


@pytest.mark.parametrize(
    ("cluster", "asked"),
    [("here", {"orders", "earlier"}), ("here", set()), ("there", {"orders"})],
    ids=["it has workers", "ours has none", "another installation's"],
)
async def test_an_article_on_another_task_queue_is_left_where_somebody_may_keep_it(
    shelf: Shelf, queues: set[str], terminated: list[str | None], cluster: str, asked: set[str]
) -> None:
    queues |= asked
    shelf.put("a")
    await shelf.publish("a", counts(), cluster=cluster, queue="earlier")

    again = await shelf.look("a")

    assert terminated == []
    assert shelf.said()[0] == Reason.KEPT
    assert again == (reconcile.WORKERS_SECONDS if cluster == "here" else None)


async def test_an_article_that_is_kept_in_another_temporal_namespace_is_not_kept_twice(
    shelf: Shelf, starts: list[str]
) -> None:
    """TEMPORAL_NAMESPACE was changed: a second workflow began, and each ordered at the supplier."""
    status = dict(await shown(shelf))
    status["workflow"] = {**status["workflow"], "namespace": "another"}
    started = Shelf(shelf.connection.client)
    started.put("a", status=status)

    await started.look("a")

    assert starts == []
    assert started.said()[0] == Reason.WORKFLOW_ELSEWHERE
    assert (started.written[-1]["onHand"], started.written[-1]["workflow"]["namespace"]) == (5, "another")


async def test_an_item_that_a_list_takes_away_while_it_is_looked_at_raises_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(*_: object) -> None:
        for number in range(11):
            shelf.put(f"item-{number}")
        shelf.stock.compare({}, 10**6)

    shelf.put("a")
    monkeypatch.setattr(shelf.stock, "_start", start)

    await shelf.look("a")

    assert "a" not in shelf.stock._tracked


async def test_an_article_that_another_item_keeps_elsewhere_is_left_to_it(
    shelf: Shelf, keeper: Keeper, signalled: list[str]
) -> None:
    there = stock_workflow_id("there", "a")
    await keeper.of("uid-there", "shop/a", "there", identifier=there)
    shelf.put("a")
    await shelf.publish("a", counts(kept_by=there))

    await shelf.look("a")

    assert (keeper.cancelled, signalled) == ([], [])
    assert shelf.said()[0] == Reason.SKU_TAKEN


@pytest.mark.parametrize(("items", "told"), [(10, 10), (11, 0)])
async def test_many_items_that_a_list_lacks_at_once_are_no_deletions(
    shelf: Shelf, keeper: Keeper, items: int, told: int
) -> None:
    """etcd was restored, and its revisions raised as its manual says: all newer than the backup were let go at once."""
    for number in range(items):
        name = f"item-{number}"
        shelf.put(name)
        await shelf.publish(name, counts(), cluster="here")
        await keeper.of(name, f"shop/{name}", identifier=stock_workflow_id("here", name))

    shelf.stock.compare({}, 1_000_000)
    for number in range(items):
        await shelf.look(f"item-{number}")

    assert len(keeper.cancelled) == told
    assert len(shelf.stock._runs) == items
