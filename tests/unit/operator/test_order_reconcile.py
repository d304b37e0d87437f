"""How decisions are carried out, with an API server and a Temporal of two dictionaries."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from builders import (
    NAME,
    NAMESPACE,
    UID,
    a_policy,
    a_snapshot,
    an_observation,
    an_order_body,
    an_order_resource,
    an_order_spec,
)
from kubernetes.aio import client
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from order_codec.undecodable import KeyMissing
from order_domain.order import DeletionPolicy
from order_operator.cluster.api import ApiRefused, Conflict, KubernetesApi, Listed, NotFound
from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL, FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders import adoption, orphans, reconcile, submission, takeover, tracking
from order_operator.orders.classes import OrderClasses
from order_operator.orders.observation import Observation
from order_operator.orders.reconcile import Reconciler
from order_operator.orders.takeover import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, NOT_TAKEN_OVER
from order_operator.orders.tracking import Told, Tracked
from order_operator.problem import Problem
from order_operator.settings import Settings
from order_operator.temporal.cancellation import BRAKE_NUMBER
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.scanner import Scanner
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_workflows.contract import ORDER_CLUSTER, WORKFLOW_TYPE, OrderInput, RunKey, input_hash, workflow_id

ID = workflow_id(*RunKey(NAMESPACE, NAME, UID))
OWN_WORKFLOW = {"id": ID, "namespace": "default", "taskQueue": "orders"}


class ApiServer:
    """Holds one order."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.version = 100
        self.writes: list[str] = []
        self.conflicts = 0
        self.refusal: client.ApiException | None = None
        self.events: list[client.EventsV1Event] = []
        self.labels: dict[str, str] = {}

    def store(self, **changes: Any) -> dict[str, Any]:
        self.version += 1
        self.body = an_order_body(resourceVersion=str(self.version), **changes)
        return self.body

    def _changed(self, what: str, part: str, key: str, value: Any, seen: str) -> dict[str, Any]:
        if self.body is None:
            raise NotFound("gone")
        if self.refusal is not None:
            raise self.refusal
        if self.conflicts or seen != str(self.version):
            self.conflicts -= 1
            raise Conflict("changed meanwhile")
        self.writes.append(what)
        self.version += 1
        changed = {**self.body[part], key: value} if key else value
        metadata = {**self.body["metadata"], "resourceVersion": str(self.version)}
        self.body = {**self.body, "metadata": metadata, part: changed}
        self.body["metadata"]["resourceVersion"] = str(self.version)
        return self.body

    async def get(self, *_: str) -> dict[str, Any]:
        if self.body is None:
            raise NotFound("gone")
        return self.body

    async def namespace_labels(self, _name: str) -> dict[str, str]:
        return self.labels

    async def create_event(self, _namespace: str, event: client.EventsV1Event) -> None:
        self.events.append(event)

    async def write_status(self, resource: Any, status: Mapping[str, Any]) -> dict[str, Any]:
        if self.refusal is not None:
            raise ApiRefused(f"update orders/status: {self.refusal.status} {self.refusal.reason}", self.refusal)
        return self._changed("status", "status", "", status, resource.resource_version)

    async def set_finalizer(self, resource: Any, *, present: bool) -> dict[str, Any]:
        finalizers = [FINALIZER] if present else []
        what = "finalizer on" if present else "finalizer off"
        return self._changed(what, "metadata", "finalizers", finalizers, resource.resource_version)


class Temporal:
    """Holds one run. Is the connection as well, and its client and handles."""

    def __init__(self) -> None:
        self.client = self
        self.namespace = "default"
        self.problem = None
        self.run: Observation | None = None
        self.calls: list[str] = []
        self.begun_as: list[str] = []
        """The class of each start."""

    def on_recovery(self, _callback: object) -> None:
        """Nothing is lost here."""

    def problem_of(self, _failed: RPCError) -> Any:
        raise AssertionError("Temporal does not fail here")

    def get_workflow_handle(self, _id: str, **_: Any) -> "Temporal":
        return self

    async def cancel(self, **_: Any) -> None:
        self.calls.append("cancel")
        if self.run is None or not self.run.running:
            raise RPCError("no open run", RPCStatusCode.NOT_FOUND, b"")

    async def signal(self, *_: Any, **__: Any) -> None:
        self.calls.append("signal")

    async def start_update(self, name: str, **_: Any) -> "Temporal":
        self.calls.append(name)
        return self

    async def result(self, **_: Any) -> None:
        """Every Update is accepted."""

    async def describe(self) -> Observation | None:
        self.calls.append("describe")
        return self.run

    async def start(self) -> Observation:
        self.calls.append("start")
        self.run = self.run or an_observation(workflow_id=ID, snapshot=None)
        return self.run


class Shop:
    """A reconciler between the two."""

    def __init__(self, *, paused: bool = False) -> None:
        self.api, self.temporal = ApiServer(), Temporal()
        self.leads = True
        classes = OrderClasses()
        metadata = {"name": "standard", "labels": {DEFAULT_CLASS_LABEL: "true"}}
        classes.put({"metadata": metadata, "spec": a_policy().model_dump(mode="json")})
        classes.put({"metadata": {"name": "calm"}, "spec": a_policy().model_dump(mode="json")})
        connection = cast("TemporalConnection", self.temporal)
        self.scanner = Scanner(connection)
        self.scanner.synced.set()
        settings = Settings(cluster="here", share_task_queue=True, paused=paused)
        self.orders = Reconciler(
            cast("KubernetesApi", self.api), connection, classes, self.scanner, settings, may_act=lambda: self.leads
        )

    def observe(self, run: Observation) -> None:
        self.temporal.run = run
        self.scanner.subscribers[WORKFLOW_TYPE].observed(run)

    async def look(self) -> float | None:
        return await self.orders.reconcile(UID)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    return connected(Shop(), monkeypatch)


@pytest.fixture
def paused_shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    return connected(Shop(paused=True), monkeypatch)


def connected(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Describing and starting go to the one run."""

    async def describe(*_: Any) -> Observation | None:
        return await shop.temporal.describe()

    async def ensure_started(_client: Any, it: OrderInput, *_: Any) -> Observation:
        shop.temporal.begun_as.append(it.class_name)
        return await shop.temporal.start()

    for module in (reconcile, submission, adoption, takeover):
        monkeypatch.setattr(module, "describe", describe)
    monkeypatch.setattr(reconcile, "ensure_started", ensure_started)
    return shop


WAITING = a_snapshot(status="Await Approval", seq=2)


async def waiting(shop: Shop, **changes: Any) -> None:
    """An order that waits, is shown so and carries the finalizer."""
    shop.orders.intake.put(shop.api.store(spec=changes.pop("spec", None), **changes))
    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING))
    await shop.look()


async def test_an_order_that_waits_costs_its_finalizer_and_one_status(shop: Shop) -> None:
    await waiting(shop)
    await shop.look()

    assert shop.api.writes == ["finalizer on", "status"]


async def test_an_operator_that_is_paused_starts_no_new_order_and_says_so(paused_shop: Shop) -> None:
    paused_shop.orders.intake.put(paused_shop.api.store())

    await paused_shop.look()

    assert "start" not in paused_shop.temporal.calls
    assert paused_shop.api.body is not None
    assert reason(paused_shop.api.body["status"], "Accepted") == ("Unknown", "Paused")


async def test_an_operator_that_is_paused_goes_on_with_an_order_that_has_its_run(paused_shop: Shop) -> None:
    await waiting(paused_shop)

    assert paused_shop.api.body is not None
    assert paused_shop.api.body["status"]["phase"] == "Waiting"
    assert paused_shop.api.body["metadata"]["finalizers"] == [FINALIZER]


async def test_an_order_of_some_age_is_confirmed_before_it_is_started_and_its_run_is_looked_at(shop: Shop) -> None:
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert shop.temporal.calls == ["start", "describe"]


async def test_a_stopped_run_whose_key_is_missing_is_tried_again_and_the_order_names_the_key(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed read was believed until the operator started again, whatever key was put back."""
    lacking = [KeyMissing("summer")]
    next_run = an_observation(workflow_id=ID, run_id="run-2", snapshot=WAITING)

    async def take_over(_client: object, run: Observation) -> Observation:
        if lacking:
            raise lacking[0]
        return next_run

    monkeypatch.setattr(reconcile, "take_over", take_over)
    await waiting(shop)
    shop.observe(an_observation(workflow_id=ID, status=WorkflowExecutionStatus.TERMINATED, snapshot=WAITING))

    again = await shop.look()

    assert shop.api.body is not None
    status = shop.api.body["status"]
    assert reason(status, "Ready") == ("False", "EncryptionKeyMissing")
    assert "'summer'" in next(each["message"] for each in status["conditions"] if each["type"] == "Ready")
    assert again is not None
    assert again <= FIRST_RETRY_SECONDS

    lacking.clear()
    clock = time.monotonic
    monkeypatch.setattr("time.monotonic", lambda: clock() + FIRST_RETRY_SECONDS)
    await shop.look()

    assert reason(shop.api.body["status"], "Ready")[1] != "EncryptionKeyMissing"


async def test_pauses_before_a_run_that_cannot_be_taken_over_grow_up_to_a_bound() -> None:
    tracked = Tracked()
    pauses = []
    for _ in range(12):
        tracked.not_taken_over(NOT_TAKEN_OVER)
        pauses.append(tracked.takeover_again_at - time.monotonic())

    assert pauses[0] <= FIRST_RETRY_SECONDS < pauses[3]
    assert LONGEST_RETRY_SECONDS / 2 - 1 < pauses[-1] <= LONGEST_RETRY_SECONDS


async def test_a_run_is_known_to_the_next_order_of_its_name_before_any_row_shows_it(shop: Shop) -> None:
    shop.orders.intake.put(shop.api.store())
    await shop.look()

    next_order = an_order_resource(uid="uid-of-the-next")
    assert shop.orders.intake.open_runs.of_others(next_order) == [ID]


async def test_an_order_without_a_class_begins_with_the_default_of_its_namespace(shop: Shop) -> None:
    shop.api.labels = {DEFAULT_CLASS_LABEL: "calm"}
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert shop.temporal.begun_as == ["calm"]


async def test_an_order_whose_history_is_lost_begins_again_with_the_class_that_it_had_begun_by(shop: Shop) -> None:
    """The default had been changed since, and it began again with other steps."""
    shop.orders.intake.put(shop.api.store(status={"phase": "Running", "className": "calm", "workflow": OWN_WORKFLOW}))

    await shop.look()

    assert shop.temporal.begun_as == ["calm"]


@pytest.mark.parametrize("by_spec", [True, False])
async def test_an_order_whose_history_and_class_are_lost_is_undone_by_the_default_class(
    shop: Shop, by_spec: bool
) -> None:
    """Its deletion waited for the class; where nobody waited for it the order was forgotten, and never undone."""
    status = {"phase": "Running", "className": "gone", "workflow": OWN_WORKFLOW}
    spec = an_order_spec(class_name="gone" if by_spec else None).model_dump(mode="json", exclude_none=True)
    shop.orders.intake.put(shop.api.store(status=status, spec=spec))
    assert shop.api.body is not None
    shop.orders.intake.remove(shop.api.body)

    await shop.look()

    assert shop.temporal.begun_as == ["standard"]


async def test_an_order_whose_class_is_lost_does_not_go_on_by_another(shop: Shop) -> None:
    shop.orders.intake.put(shop.api.store(status={"phase": "Running", "className": "gone", "workflow": OWN_WORKFLOW}))

    await shop.look()

    assert shop.temporal.begun_as == []


async def test_an_order_that_begins_anew_follows_the_default_class_of_today(shop: Shop) -> None:
    workflow = {"id": workflow_id(*FIRST), "namespace": "default", "taskQueue": "orders", "cluster": "there"}
    spec = an_order_spec(adopt_from="here").model_dump(mode="json", exclude_none=True)
    status = {"phase": "Running", "className": "calm", "workflow": workflow}
    shop.orders.intake.put(shop.api.store(status=status, spec=spec))

    await shop.look()

    assert shop.temporal.begun_as == ["standard"]


async def test_an_order_that_the_api_server_does_not_have_any_more_is_not_started(shop: Shop) -> None:
    shop.orders.intake.put(shop.api.store())
    shop.api.body = None

    await shop.look()

    assert "start" not in shop.temporal.calls


async def test_a_cancellation_that_finds_no_run_is_followed_by_a_question_and_lets_the_resource_go(shop: Shop) -> None:
    """B13: the answer was swallowed, and the finalizer stayed for ever."""
    await waiting(shop)
    ended = an_observation(
        workflow_id=ID, status=WorkflowExecutionStatus.COMPLETED, snapshot=a_snapshot(status="Order Cancelled", seq=3)
    )
    shop.temporal.run = ended

    await delete(shop)

    assert shop.temporal.calls[-2:] == ["cancel", "describe"]
    assert shop.api.writes[-1] == "finalizer off"


async def delete(shop: Shop) -> None:
    """The order, which its finalizer keeps."""
    assert shop.api.body is not None
    metadata = {**shop.api.body["metadata"], "deletionTimestamp": "2026-01-02T03:05:00Z"}
    shop.api.version += 1
    metadata["resourceVersion"] = str(shop.api.version)
    shop.api.body = {**shop.api.body, "metadata": metadata}
    shop.orders.intake.put(shop.api.body)
    await shop.look()


@pytest.mark.parametrize("policy", ["Cancel", "Orphan"])
async def test_an_order_that_is_deleted_under_way_tells_which_policy_counted(shop: Shop, policy: str) -> None:
    await waiting(shop, spec=an_order_spec(deletion_policy=policy).model_dump(mode="json", exclude_none=True))

    await delete(shop)
    await asyncio.sleep(0)

    [event] = [event for event in shop.api.events if event.reason == "DeletionDecided"]
    assert f"deletionPolicy {policy}" in (event.note or "")


@pytest.mark.parametrize(("first", "then", "call"), [("Cancel", "Orphan", "signal"), ("Orphan", "Cancel", "cancel")])
async def test_a_policy_that_changes_while_the_deletion_waits_reaches_the_workflow(
    shop: Shop, first: str, then: str, call: str
) -> None:
    """A deletion that waits for a repair says to set Orphan, and nobody told the workflow."""
    await waiting(shop, spec=an_order_spec(deletion_policy=first).model_dump(mode="json", exclude_none=True))
    await delete(shop)
    assert call not in shop.temporal.calls

    assert shop.api.body is not None
    shop.api.version += 1
    metadata = {**shop.api.body["metadata"], "generation": 2, "resourceVersion": str(shop.api.version)}
    spec = {**shop.api.body["spec"], "deletionPolicy": then}
    shop.api.body = {**shop.api.body, "metadata": metadata, "spec": spec}
    shop.orders.intake.put(shop.api.body)
    await shop.look()

    assert shop.temporal.calls.count(call) == 1


async def test_an_order_that_ended_before_it_is_deleted_tells_of_no_policy(shop: Shop) -> None:
    await waiting(shop)
    shop.temporal.run = an_observation(
        workflow_id=ID, status=WorkflowExecutionStatus.COMPLETED, snapshot=a_snapshot(status="Order Cancelled", seq=3)
    )

    await delete(shop)
    await asyncio.sleep(0)

    assert "DeletionDecided" not in {event.reason for event in shop.api.events}


async def test_a_write_that_meets_a_newer_version_is_made_at_once_on_that(shop: Shop) -> None:
    await waiting(shop)
    shop.api.conflicts = 1
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Compensate Order", seq=3)))

    assert await shop.look() == 0.0
    await shop.look()

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Compensating"


async def test_a_write_that_goes_on_meeting_newer_versions_is_made_ever_more_rarely(shop: Shop) -> None:
    """B31: orders that met one another's writes met again a second later, all at once."""
    await waiting(shop)
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Compensate Order", seq=3)))
    shop.api.conflicts = 5
    pauses = [await shop.look() or 0.0 for _ in range(5)]
    await shop.look()
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Manual Review", seq=4)))
    shop.api.conflicts = 1

    assert [pauses[0] == 0.0, 1.0 <= pauses[1] <= 2.0, 5.0 <= pauses[4] <= 10.0] == [True, True, True]
    assert await shop.look() == 0.0


async def test_an_edit_that_the_watch_brings_before_a_late_answer_is_not_lost(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer's version took its place, and no watch brings a version twice: it came with a list, minutes later."""
    write_status = shop.api.write_status

    async def answered_late(resource: Any, status: Mapping[str, Any]) -> dict[str, Any]:
        answer = await write_status(resource, status)
        monkeypatch.setattr(shop.api, "write_status", write_status)
        shop.api.version += 1
        metadata = {**answer["metadata"], "generation": 2, "resourceVersion": str(shop.api.version)}
        shop.api.body = {**answer, "metadata": metadata, "spec": {**answer["spec"], "deletionPolicy": "Orphan"}}
        shop.orders.intake.put(shop.api.body)
        return answer

    monkeypatch.setattr(shop.api, "write_status", answered_late)

    await waiting(shop)

    assert shop.orders.intake.compare({UID: Listed(UID, NAMESPACE, NAME, shop.api.version)}, 1_000) == []


async def test_an_order_that_is_deleted_before_a_late_answer_says_that_it_exists_is_not_started(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.orders.intake.put(shop.api.store())
    body = shop.api.body
    assert body is not None

    async def get(*_: str) -> dict[str, Any]:
        shop.orders.intake.remove(body)
        return body

    monkeypatch.setattr(shop.api, "get", get)
    await shop.look()

    assert "start" not in shop.temporal.calls


async def refused(shop: Shop, status: int, reason: str) -> list[client.EventsV1Event]:
    """The events of an order whose status was refused so."""
    shop.orders.intake.put(shop.api.store())
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Reserve Stock")))
    shop.api.refusal = client.ApiException(status=status, reason=reason)
    with pytest.raises(ApiRefused):
        await shop.look()
    await asyncio.sleep(0)
    return shop.api.events


async def test_a_status_that_is_refused_for_its_content_is_told_by_an_event_that_says_why(shop: Shop) -> None:
    """B35: nobody saw why the order stood still."""
    [event] = await refused(shop, 422, "status.phase: Unsupported value")

    assert (event.type, event.reason) == ("Warning", "StatusRefused")
    assert "422 status.phase: Unsupported value" in (event.note or "")


async def test_a_status_that_is_refused_again_for_the_same_reason_is_the_same_event(shop: Shop) -> None:
    await refused(shop, 422, "status.phase: Unsupported value")
    first, second = await refused(shop, 422, "status.phase: Unsupported value")
    [*_, third] = await refused(shop, 422, "status.progress: must be at most 100")

    assert first.metadata is not None
    assert second.metadata is not None
    assert third.metadata is not None
    assert first.metadata.name == second.metadata.name != third.metadata.name


async def test_a_status_that_is_refused_for_the_moment_is_told_by_no_event(shop: Shop) -> None:
    assert await refused(shop, 429, "Too Many Requests") == []


async def test_an_order_whose_finalizer_a_policy_refuses_shows_what_it_waits_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It showed nothing at all: nobody saw that it waits for an approval."""

    async def refuse(*_: Any, **__: Any) -> dict[str, Any]:
        raise ApiRefused("denied by webhook", client.ApiException(status=403, reason="denied by webhook"))

    monkeypatch.setattr(shop.api, "set_finalizer", refuse)
    shop.orders.intake.put(shop.api.store())
    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING))

    again = await shop.look()
    await asyncio.sleep(0)

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Waiting"
    assert again is not None
    assert {"FinalizerRefused", "Waiting"} <= {event.reason for event in shop.api.events}


async def test_a_process_that_does_not_lead_does_nothing(shop: Shop) -> None:
    shop.leads = False
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert (shop.api.writes, shop.temporal.calls) == ([], [])


async def test_an_open_run_that_a_full_scan_did_not_list_is_asked_for_and_kept_if_it_is_there(shop: Shop) -> None:
    await waiting(shop)
    writes = len(shop.api.writes)

    shop.scanner.subscribers[WORKFLOW_TYPE].resynced(frozenset())
    await shop.look()

    assert shop.temporal.calls == ["describe"]
    assert len(shop.api.writes) == writes


async def test_a_run_that_went_on_in_another_one_tells_nothing_of_where_its_order_is(shop: Shop) -> None:
    """After a restart an order that had ended was shown as it had been when its history was cut, with a finalizer."""
    review = a_snapshot(status="Manual Review", seq=2)
    cut = an_observation(workflow_id=ID, status=WorkflowExecutionStatus.CONTINUED_AS_NEW, snapshot=review)
    ended = a_snapshot(status="Order Completed", seq=3)
    shop.observe(cut)
    shop.orders.intake.put(shop.api.store())
    shop.observe(cut)
    shop.temporal.run = an_observation(
        workflow_id=ID, run_id="run-2", status=WorkflowExecutionStatus.COMPLETED, snapshot=ended
    )

    await shop.look()

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Completed"
    assert shop.api.writes == ["status"]


async def test_an_answer_that_comes_later_than_a_newer_row_puts_nothing_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status of an order that had ended went back to where it had waited, and no row came again."""
    await waiting(shop)
    asked_for: list[str] = []

    async def describe(_client: object, _key: RunKey, identifier: str) -> Observation | None:
        asked_for.append(identifier)
        before = shop.temporal.run
        if len(asked_for) == 1:
            ended = a_snapshot(status="Order Completed", seq=3)
            shop.observe(an_observation(workflow_id=ID, status=WorkflowExecutionStatus.COMPLETED, snapshot=ended))
        return before

    monkeypatch.setattr(adoption, "describe", describe)
    shop.orders.intake.doubt(UID)
    await shop.look()

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Completed"
    assert shop.api.writes.count("status") == 2


UNDOING = a_snapshot(status="Compensate Order", seq=3, compensation="Running")


@pytest.fixture
def no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known was known long before the next row."""
    monkeypatch.setattr(tracking, "ROWS_LAG_SECONDS", 0.0)


@pytest.mark.usefixtures("no_lag")
async def test_an_edit_that_a_temporal_of_before_has_forgotten_is_sent_again(shop: Shop) -> None:
    cancelled = an_order_spec(cancellation={"reason": "too slow", "by": "ana"})
    await waiting(shop, spec=cancelled.model_dump(mode="json", exclude_none=True))
    await asyncio.sleep(0.01)
    shop.observe(an_observation(workflow_id=ID, snapshot=UNDOING))
    await shop.look()
    assert shop.temporal.calls.count("cancel") == 1

    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING))
    await shop.look()
    await asyncio.sleep(0.01)

    assert shop.temporal.calls.count("cancel") == 2


@pytest.mark.usefixtures("no_lag")
async def test_progress_does_not_fall_though_a_temporal_of_before_shows_less(shop: Shop) -> None:
    await waiting(shop)
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Await Stock", seq=3, progress=40)))
    await shop.look()
    assert shop.api.body is not None
    assert shop.api.body["status"]["progress"] == 40

    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING))
    await shop.look()

    shown = shop.api.body["status"]
    assert (shown["orderStatus"], shown["progress"]) == ("Await Approval", 40)


@pytest.mark.usefixtures("no_lag")
async def test_a_run_that_a_temporal_of_before_shows_again_is_told_once_more_that_its_resource_goes(
    shop: Shop,
) -> None:
    await waiting(shop)
    await delete(shop)
    shop.observe(an_observation(workflow_id=ID, snapshot=UNDOING))
    await shop.look()

    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING))
    await shop.look()

    assert shop.temporal.calls.count("cancel") == 2


async def test_a_row_that_is_late_leads_to_no_question(shop: Shop) -> None:
    await waiting(shop)
    before = list(shop.temporal.calls)

    late = an_observation(workflow_id=ID, snapshot=a_snapshot(status="Reserve Stock", seq=1))
    shop.scanner.subscribers[WORKFLOW_TYPE].observed(late)
    await shop.look()

    assert shop.temporal.calls == before


@pytest.mark.usefixtures("no_lag")
async def test_an_old_row_that_temporal_does_not_confirm_puts_nothing_back(shop: Shop) -> None:
    await waiting(shop)

    old = an_observation(workflow_id=ID, snapshot=a_snapshot(status="Reserve Stock", seq=1))
    shop.scanner.subscribers[WORKFLOW_TYPE].observed(old)
    await shop.look()

    assert shop.temporal.calls[-1] == "describe"
    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Waiting"


async def test_a_workflow_that_bears_the_uid_of_another_order_is_not_followed(shop: Shop) -> None:
    """B38: it replaced what was known of that order."""
    await waiting(shop)
    key = RunKey("elsewhere", "thing", UID)
    failed = a_snapshot(status="Order Failed", seq=3)
    shop.observe(an_observation(key=key, workflow_id=workflow_id(*key), run_id="run-2", snapshot=failed))

    await shop.look()

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Waiting"


async def test_a_young_order_that_is_deleted_is_cancelled_once(shop: Shop) -> None:
    shop.orders.intake.put(shop.api.store())
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Reserve Stock")))
    body, shop.api.body = shop.api.body, None
    assert body is not None

    shop.orders.intake.remove(body)
    await shop.look()
    shop.orders.intake.compare({}, 1_000)
    await asyncio.sleep(0)
    await shop.look()

    assert shop.temporal.calls.count("cancel") == 1


async def test_a_stopped_run_that_temporal_has_lost_is_followed_by_one_that_asks_the_ledger(shop: Shop) -> None:
    """`temporal workflow delete` terminates a run before it forgets it: the order stood still until a restart."""
    await waiting(shop)
    stopped = an_observation(workflow_id=ID, snapshot=WAITING, status=WorkflowExecutionStatus.TERMINATED)
    shop.observe(stopped)
    shop.temporal.run = None

    await shop.look()

    assert shop.temporal.calls[-3:] == ["describe", "start", "describe"]
    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Stalled")[0] == "False"


async def test_a_run_that_stopped_is_taken_over_though_an_order_of_its_name_waits_for_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither went on: the order waited for the earlier one to be undone, and nobody undid that."""
    taken: list[str] = []

    async def take_over(_client: object, run: Observation) -> Observation:
        taken.append(run.workflow_id)
        return run

    monkeypatch.setattr(orphans, "take_over", take_over)
    shop.orders.intake.put(shop.api.store())
    shop.observe(
        an_observation(
            key=FIRST, workflow_id=workflow_id(*FIRST), status=WorkflowExecutionStatus.TERMINATED, cluster="here"
        )
    )

    shop.orders.intake.compare({UID: Listed(UID, NAMESPACE, NAME, shop.api.version)}, 1_000)
    await asyncio.sleep(0)

    assert taken == [workflow_id(*FIRST)]


async def test_an_adopted_run_that_ended_before_it_was_looked_at_is_shown_as_ended(shop: Shop) -> None:
    """The order began anew, and ended as a Duplicate of itself."""
    shop.orders.intake.open_runs.saw(FIRST, running=True)
    shop.temporal.run = an_observation(
        workflow_id=workflow_id(*FIRST),
        status=WorkflowExecutionStatus.COMPLETED,
        snapshot=a_snapshot(status="Order Completed"),
        cluster="here",
    )
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert "start" not in shop.temporal.calls
    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Completed"


FIRST = RunKey(NAMESPACE, NAME, "uid-of-the-first")
OF_THE_FIRST = {"phase": "Waiting", "workflow": {"id": workflow_id(*FIRST), "namespace": "default"}}


def temporal_has(shop: Shop, monkeypatch: pytest.MonkeyPatch, run: Observation) -> None:
    """This run, and none under another id."""

    async def describe(_client: object, _key: RunKey, identifier: str) -> Observation | None:
        return run if identifier == run.workflow_id else None

    for module in (reconcile, adoption):
        monkeypatch.setattr(module, "describe", describe)


async def test_a_restored_order_adopts_the_run_that_its_status_names_though_no_row_shows_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a visibility store that was empty it began anew, and ended as a Duplicate of itself."""
    content = input_hash(an_order_spec())
    run = an_observation(key=FIRST, workflow_id=workflow_id(*FIRST), input_hash=content, cluster="here")
    temporal_has(shop, monkeypatch, run)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))

    await shop.look()

    assert "start" not in shop.temporal.calls
    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready")[1] == "Adopting"


async def test_an_order_that_adopted_its_run_is_known_to_the_next_of_its_name_under_any_identity(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was deleted and is being undone, and the next one took its workflow for that of another installation."""
    adopter = RunKey(NAMESPACE, NAME, "uid-of-the-adopter")
    content = input_hash(an_order_spec())
    run = an_observation(
        key=adopter, workflow_id=workflow_id(*FIRST), input_hash=content, snapshot=WAITING, cluster="before"
    )
    temporal_has(shop, monkeypatch, run)
    shop.orders._tracked[adopter.uid] = Tracked(observation=run, told=Told(run.run_id, DeletionPolicy.CANCEL))
    shop.orders.intake.open_runs.saw(FIRST, running=True)
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready")[1] == "PredecessorEnding"


async def test_an_order_whose_workflow_was_taken_back_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    run = an_observation(workflow_id=workflow_id(*FIRST), snapshot=WAITING, cluster="here")
    temporal_has(shop, monkeypatch, run)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))
    await shop.look()

    shop.observe(replace(run, key=FIRST, cluster="there", snapshot=a_snapshot(status="Await Approval", seq=3)))
    await shop.look()

    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready")[1] == "AdoptedElsewhere"


async def test_an_order_whose_workflow_was_taken_back_before_any_row_showed_the_adoption_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on to show the order as its own, for good."""
    run = an_observation(workflow_id=workflow_id(*FIRST), snapshot=WAITING, cluster="here")
    temporal_has(shop, monkeypatch, run)
    shop.orders.intake.open_runs.saw(FIRST, running=True)
    shop.orders.intake.put(shop.api.store())
    await shop.look()

    shop.observe(replace(run, key=FIRST, cluster="there", snapshot=a_snapshot(status="Await Approval", seq=3)))
    await shop.look()

    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready")[1] == "AdoptedElsewhere"


@pytest.mark.parametrize("status", ["Order Completed", "Charge Customer"])
async def test_an_order_that_another_installation_carried_is_neither_begun_nor_shown_as_ended_after_its_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    run = an_observation(
        key=FIRST,
        workflow_id=workflow_id(*FIRST),
        input_hash=input_hash(an_order_spec()),
        cluster="there",
        status=WorkflowExecutionStatus.COMPLETED,
        snapshot=a_snapshot(status=status),
    )
    temporal_has(shop, monkeypatch, run)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))

    await shop.look()

    assert "start" not in shop.temporal.calls
    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready")[1] == "RestoredElsewhere"


async def test_an_order_that_adopted_its_run_is_followed_under_any_identity_of_the_installation(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value `cluster` was set later: its status stood still until its end."""
    run = an_observation(workflow_id=workflow_id(*FIRST), snapshot=WAITING, cluster="before")
    temporal_has(shop, monkeypatch, run)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))
    await shop.look()

    row = WorkflowExecutionInfo(status=1)
    row.execution.workflow_id = run.workflow_id
    row.search_attributes.indexed_fields[ORDER_CLUSTER.name].data = b'"before"'

    assert await shop.scanner.subscribers[WORKFLOW_TYPE].decode(row) is not None


@pytest.mark.parametrize("by_this_process", [True, False])
async def test_a_run_that_was_reset_to_before_its_adoption_is_adopted_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, by_this_process: bool
) -> None:
    """It counted the generations of the resource before, and every edit was too late for it."""
    content = input_hash(an_order_spec())
    about = {"workflow_id": workflow_id(*FIRST), "input_hash": content, "cluster": "here"}
    first = an_observation(key=FIRST, snapshot=a_snapshot(seq=1), **about)
    adopted = an_observation(snapshot=WAITING, **about)
    temporal_has(shop, monkeypatch, first if by_this_process else adopted)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))
    await shop.look()
    await asyncio.sleep(0.01)
    before = list(shop.temporal.calls)
    temporal_has(shop, monkeypatch, adopted)
    await shop.look()

    reset = replace(first, run_id="run-after-the-reset")
    temporal_has(shop, monkeypatch, reset)
    shop.observe(reset)
    await shop.look()
    await asyncio.sleep(0.01)

    assert shop.temporal.calls == [*before, "adopt"]


async def test_a_late_row_of_before_an_adoption_is_asked_about_and_changes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"workflow_id": workflow_id(*FIRST), "input_hash": input_hash(an_order_spec()), "cluster": "here"}
    adopted = an_observation(snapshot=WAITING, **about)
    temporal_has(shop, monkeypatch, adopted)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))
    await shop.look()

    shop.observe(an_observation(key=FIRST, snapshot=a_snapshot(seq=1), **about))
    await shop.look()
    await asyncio.sleep(0.01)

    assert shop.temporal.calls == []


async def test_of_orders_that_are_missing_in_a_list_many_at_once_none_is_cancelled(shop: Shop) -> None:
    """etcd was restored with a higher revision: every order since the backup was cancelled within a minute."""
    for number in range(BRAKE_NUMBER + 1):
        key = RunKey(NAMESPACE, f"order-{number}", f"uid-{number}")
        shop.orders.intake.put(an_order_body(name=key.name, uid=key.uid))
        shop.observe(an_observation(key=key, workflow_id=workflow_id(*key), cluster="here"))

    for _ in range(2):
        shop.orders.intake.compare({}, 1_000)
        await asyncio.sleep(0)
        for number in range(BRAKE_NUMBER + 1):
            await shop.orders.reconcile(f"uid-{number}")

    assert "cancel" not in shop.temporal.calls


async def test_an_order_of_an_earlier_version_in_a_later_list_is_told_with_the_version_that_is_known(
    shop: Shop,
) -> None:
    """etcd was restored with a higher revision: the edits of the lost time stayed in force."""
    await waiting(shop)
    earlier = Listed(UID, NAMESPACE, NAME, 50)

    assert shop.orders.intake.compare({UID: earlier}, 1_000) == [earlier._replace(known_version=shop.api.version)]
    assert shop.orders.intake.compare({UID: earlier}, shop.api.version - 1) == []


async def test_an_order_that_lost_its_finalizer_by_force_unseen_is_not_cancelled(shop: Shop) -> None:
    await waiting(shop)
    shop.api.body = None

    shop.orders.intake.compare({}, 1_000)
    await asyncio.sleep(0)
    await shop.look()

    assert "cancel" not in shop.temporal.calls


async def test_a_young_order_that_lost_its_finalizer_by_force_unseen_is_reported_at_every_later_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as one that was deleted before it had a finalizer, and was cancelled two minutes later."""
    monkeypatch.setattr(orphans, "TWO_LOOKS_SECONDS", 0.0)
    shop.orders.intake.put(shop.api.store())
    began = datetime.now(UTC)
    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING, cluster="here", start_time=began))
    await shop.look()
    shop.api.body = None

    for _ in range(3):
        shop.orders.intake.compare({}, 1_000)
        await asyncio.sleep(0)

    assert "cancel" not in shop.temporal.calls
    assert [event.reason for event in shop.api.events].count("WorkflowWithoutOrder") == 1


async def test_a_young_order_that_is_missing_in_a_list_is_cancelled(shop: Shop) -> None:
    shop.orders.intake.put(shop.api.store())
    shop.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Reserve Stock")))
    shop.api.body = None

    shop.orders.intake.compare({}, 1_000)
    await shop.look()

    assert shop.temporal.calls.count("cancel") == 1


async def test_a_finished_order_whose_run_was_reset_is_followed_by_its_own_spec(shop: Shop) -> None:
    """Its spec had been dropped when it finished: the order was called invalid, and its status replaced."""
    shop.orders.intake.put(shop.api.store())
    shop.observe(
        an_observation(
            workflow_id=ID, status=WorkflowExecutionStatus.COMPLETED, snapshot=a_snapshot(status="Order Completed")
        )
    )
    await shop.look()
    await shop.look()

    shop.observe(an_observation(workflow_id=ID, run_id="run-2", snapshot=WAITING))
    await shop.look()
    await shop.look()

    assert shop.api.body is not None
    assert shop.api.body["status"]["phase"] == "Waiting"
    assert reason(shop.api.body["status"], "Ready") == ("True", "Waiting")


def reason(status: Mapping[str, Any], condition: str) -> tuple[str, str]:
    """What a condition says, and why."""
    return next((item["status"], item["reason"]) for item in status["conditions"] if item["type"] == condition)


async def test_starts_of_a_namespace_that_get_no_answer_hold_up_no_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    changed = asyncio.Event()

    async def never_answered(_client: Any, it: OrderInput, *_: Any) -> Observation:
        begun.append(it.identity.namespace)
        changed.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(reconcile, "ensure_started", never_answered)
    queue = asyncio.create_task(shop.orders.queue.run())
    now = datetime.now(UTC).isoformat()
    for namespace, count in (("stuck", 2 * reconcile.CONCURRENCY), ("calm", 1)):
        for number in range(count):
            uid = f"{namespace}-{number}"
            shop.orders.intake.put(an_order_body(namespace=namespace, name=uid, uid=uid, creationTimestamp=now))
        async with asyncio.timeout(5):
            while namespace not in begun:
                changed.clear()
                await changed.wait()
    queue.cancel()

    assert begun.count("stuck") == reconcile.OF_A_NAMESPACE


async def test_orders_of_another_installation_on_our_task_queue_are_told_of_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """B9: workers of a second cluster carried out orders of the first, by their own ledger."""
    decode = shop.scanner.subscribers[WORKFLOW_TYPE].decode
    for number, task_queue in enumerate(("theirs", "orders", "orders")):
        row = WorkflowExecutionInfo(status=1, task_queue=task_queue)
        row.execution.workflow_id = workflow_id("shop", f"order-{number}", "uid-of-theirs")
        row.search_attributes.indexed_fields[ORDER_CLUSTER.name].data = b'"there"'
        assert await decode(row) is None

    [told] = [vars(record) for record in caplog.records if record.levelname == "ERROR"]
    assert (told["installation"], told["task_queue"]) == ("there", "orders")


async def test_an_order_is_not_started_on_the_task_queue_of_another_installation_and_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def problem(_: TaskQueueOwner) -> Problem:
        return Problem(Reason.TASK_QUEUE_TAKEN, "taken", stalled=True)

    monkeypatch.setattr(TaskQueueOwner, "problem", problem)
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert "start" not in shop.temporal.calls
    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready") == ("False", "TaskQueueTaken")
