"""What becomes of workflows whose Order is gone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from builders import UID, a_snapshot, an_observation, an_order_body, an_order_input, an_order_spec
from kubernetes.aio import client
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from order_domain.order import DeletionPolicy
from order_domain.pipeline import StepName
from order_domain.snapshot import StepRecord, StepState
from order_operator.cluster.api import KubernetesApi, NotFound
from order_operator.cluster.events import EventRecorder
from order_operator.orders.observation import Observation
from order_operator.orders.orphans import YOUNG_SECONDS, LastLoss, OrphanLog, Orphans
from order_operator.orders.tracking import Tracked
from order_operator.settings import Settings
from order_operator.temporal.cancellation import BRAKE_NUMBER, MAX_PER_LOOK, TWO_LOOKS_SECONDS
from order_operator.temporal.connection import TemporalConnection
from order_workflows.contract import SIGNAL_ORPHAN

STARTED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
YOUNG = STARTED + timedelta(seconds=60)
OLD = STARTED + timedelta(seconds=YOUNG_SECONDS + 1)


def runs(number: int) -> list[Observation]:
    return [
        replace(an_observation(start_time=STARTED), workflow_id=f"order-{index}", run_id=f"run-{index}")
        for index in range(number)
    ]


def test_a_young_run_is_cancelled_only_when_a_second_look_minutes_later_finds_no_resource_either() -> None:
    log, orphans = OrphanLog(LastLoss()), runs(1)

    first = log.plan(orphans, 100, clock=0.0, now=YOUNG, released=False)
    soon = log.plan(orphans, 100, clock=60.0, now=YOUNG, released=False)
    later = log.plan(orphans, 100, clock=TWO_LOOKS_SECONDS, now=YOUNG, released=False)

    assert (first.cancel, soon.cancel, later.cancel) == ([], [], orphans)


def test_a_run_whose_resource_was_seen_in_between_begins_anew() -> None:
    log, orphans = OrphanLog(LastLoss()), runs(1)
    log.plan(orphans, 100, clock=0.0, now=YOUNG, released=False)
    log.plan([], 100, clock=60.0, now=YOUNG, released=False)

    again = log.plan(orphans, 100, clock=TWO_LOOKS_SECONDS, now=YOUNG, released=False)

    assert again.cancel == []


def test_a_run_of_some_age_lost_its_finalizer_by_force_and_is_reported() -> None:
    log, orphans = OrphanLog(LastLoss()), runs(1)

    looks = [log.plan(orphans, 100, clock=clock, now=OLD, released=False) for clock in (0.0, 1_000.0)]

    assert [(look.report, look.cancel) for look in looks] == [(orphans, [])] * 2


def test_a_run_that_was_young_at_its_first_look_stays_so() -> None:
    log, orphans = OrphanLog(LastLoss()), runs(1)
    log.plan(orphans, 100, clock=0.0, now=YOUNG, released=False)

    assert log.plan(orphans, 100, clock=900.0, now=OLD, released=False).cancel == orphans


def test_only_a_few_are_cancelled_at_each_look() -> None:
    log, orphans = OrphanLog(LastLoss()), runs(BRAKE_NUMBER)
    log.plan(orphans, 1_000, clock=0.0, now=YOUNG, released=False)

    assert len(log.plan(orphans, 1_000, clock=300.0, now=YOUNG, released=False).cancel) == MAX_PER_LOOK


@pytest.mark.parametrize(("number", "open_runs"), [(11, 11), (11, 200), (60, 1_000)])
def test_none_is_cancelled_while_many_look_orphaned_at_once(number: int, open_runs: int) -> None:
    """B8: a second cluster with the chart's defaults cancelled every order of the first."""
    log, orphans = OrphanLog(LastLoss()), runs(number)
    log.plan(orphans, open_runs, clock=0.0, now=YOUNG, released=False)

    braked = log.plan(orphans, open_runs, clock=300.0, now=YOUNG, released=False)

    assert (braked.braked, braked.cancel) == (True, [])


@pytest.mark.parametrize(("number", "open_runs"), [(10, 10), (50, 1_000)])
def test_the_brake_leaves_few_ones_alone(number: int, open_runs: int) -> None:
    assert not OrphanLog(LastLoss()).plan(runs(number), open_runs, clock=0.0, now=YOUNG, released=False).braked


def test_a_person_who_has_looked_releases_the_brake_and_what_was_only_reported() -> None:
    log, orphans = OrphanLog(LastLoss()), runs(20)
    log.plan(orphans, 20, clock=0.0, now=OLD, released=True)

    released = log.plan(orphans, 20, clock=300.0, now=OLD, released=True)

    assert (released.braked, len(released.cancel)) == (False, MAX_PER_LOOK)


def test_what_the_brake_has_held_is_reported_also_when_few_are_left_and_another_process_leads() -> None:
    """The brake came off as the workflows ended, or with a restart, and the rest was cancelled."""
    kept: list[str] = []
    braked = OrphanLog(LastLoss(keep=kept.append))
    braked.plan(runs(BRAKE_NUMBER + 1), BRAKE_NUMBER + 1, clock=0.0, now=YOUNG, released=False)

    for log in (braked, OrphanLog(LastLoss(kept[-1]))):
        for clock in (60.0, 60.0 + TWO_LOOKS_SECONDS):
            few = log.plan(runs(2), 2, clock=clock, now=YOUNG, released=False)
        assert (few.braked, few.cancel, len(few.report)) == (False, [], 2)


def test_a_young_run_that_began_after_orders_were_missing_is_cancelled() -> None:
    log = OrphanLog(LastLoss((STARTED - timedelta(seconds=1)).isoformat()))
    log.plan(runs(1), 20, clock=0.0, now=YOUNG, released=False)

    assert len(log.plan(runs(1), 20, clock=TWO_LOOKS_SECONDS, now=YOUNG, released=False).cancel) == 1


def a_step(started: datetime) -> StepRecord:
    return StepRecord(name=StepName.RECEIVE, state=StepState.SUCCEEDED, started_at=started)


@pytest.mark.parametrize("later", [{"snapshot": a_snapshot(steps=[a_step(STARTED)])}, {"takeovers": 1}])
def test_a_run_that_was_reset_or_follows_another_is_as_old_as_its_order(later: dict[str, Any]) -> None:
    """It had been reported as lost by force, and a person was to decide. The next run counted as young: cancelled."""
    log, orphans = OrphanLog(LastLoss()), runs(1)
    assert log.plan(orphans, 100, clock=0.0, now=OLD, released=False).report == orphans

    following = [replace(orphans[0], run_id="run-2", start_time=OLD, **later)]
    fresh = OrphanLog(LastLoss())
    for clock in (60.0, 60.0 + TWO_LOOKS_SECONDS):
        for each in (log, fresh):
            plan = each.plan(following, 100, clock=clock, now=OLD + timedelta(seconds=clock), released=False)
            assert (plan.cancel, plan.report) == ([], following)


@pytest.mark.parametrize(
    ("kept", "counts"), [(None, False), ("", True), ("yesterday", True), ("2026-01-02T03:04:01", True)]
)
def test_what_is_kept_of_a_loss_counts_whatever_somebody_has_written(kept: str | None, counts: bool) -> None:
    assert LastLoss(kept).may_be_of(an_observation(start_time=STARTED)) is counts


class Servers:
    """An API server without Orders, and a Temporal that notes what it is asked to cancel."""

    def __init__(self) -> None:
        self.problem = None
        self.client = self
        self.cancelled: list[str] = []
        self.let_go: list[str] = []
        self.started_with: object = an_order_input()
        self.namespace, self.data_converter = "default", pydantic_data_converter
        self.events: list[client.EventsV1Event] = []

    async def create_event(self, _namespace: str, event: client.EventsV1Event) -> None:
        self.events.append(event)

    async def get(self, plural: str, _namespace: str, name: str) -> None:
        raise NotFound(plural, name)

    def get_workflow_handle(self, workflow_id: str, **_: Any) -> "Servers":
        self._handle_of = workflow_id
        return self

    async def cancel(self, **_: Any) -> None:
        self.cancelled.append(self._handle_of)

    async def signal(self, name: str, **_: Any) -> None:
        assert name == SIGNAL_ORPHAN
        self.let_go.append(self._handle_of)

    async def fetch_history_events(self, **_: Any) -> AsyncIterator[HistoryEvent]:
        event = HistoryEvent()
        payloads = await self.data_converter.encode([self.started_with])
        event.workflow_execution_started_event_attributes.input.payloads.extend(payloads)
        yield event


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    monkeypatch.setattr("order_operator.orders.orphans.TWO_LOOKS_SECONDS", 0.0)
    return Servers()


def an_orphans_look(servers: Servers) -> Orphans:
    settings = Settings(cluster="here")
    return Orphans(
        cast("TemporalConnection", servers),
        cast("KubernetesApi", servers),
        settings,
        present=lambda: YOUNG,
        resource_found=lambda _: None,
        events=EventRecorder(cast("KubernetesApi", servers), "test"),
        loss=LastLoss(),
    )


async def look(servers: Servers, run: Observation, *, times: int = 1) -> list[str]:
    """The workflows that are cancelled for want of the resource of this run."""
    orphans = an_orphans_look(servers)
    without_resource = {run.key.uid: Tracked(observation=run)}
    for _ in range(times):
        await orphans.look(without_resource, 1)
    await asyncio.sleep(0)
    return servers.cancelled


@pytest.mark.parametrize(("unreadable", "cancelled"), [(False, 1), (True, 0)])
async def test_a_workflow_that_cannot_be_read_is_never_cancelled(
    servers: Servers, unreadable: bool, cancelled: int
) -> None:
    """It may be another's, or one that goes on without its resource on purpose."""
    assert len(await look(servers, an_observation(cluster="here", unreadable=unreadable))) == cancelled


@pytest.mark.parametrize("cluster", ["there", "default", None])
async def test_a_workflow_of_another_installation_or_an_earlier_release_is_never_cancelled(
    servers: Servers, cluster: str | None
) -> None:
    """B8: a second cluster with the chart's defaults cancelled every order of the first."""
    assert await look(servers, an_observation(cluster=cluster)) == []


@pytest.mark.parametrize(("uid", "cancelled"), [(UID, 0), ("uid-of-the-next", 1)], ids=["its own", "the next one's"])
async def test_the_api_server_is_asked_once_more_before_a_workflow_is_cancelled(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, uid: str, cancelled: int
) -> None:
    async def get(*_: str) -> dict[str, object]:
        return an_order_body(uid=uid)

    monkeypatch.setattr(servers, "get", get)

    assert len(await look(servers, an_observation(cluster="here"))) == cancelled


async def test_a_workflow_that_was_cancelled_is_not_cancelled_again_at_each_look(servers: Servers) -> None:
    """B27: one that was being undone was cancelled, logged and counted each minute."""
    assert len(await look(servers, an_observation(cluster="here"), times=3)) == 1


async def test_a_workflow_that_lost_its_order_by_force_is_told_by_one_event_of_that_order(servers: Servers) -> None:
    run = an_observation(cluster="here", start_time=YOUNG - timedelta(hours=1))

    assert await look(servers, run, times=3) == []

    [event] = servers.events
    assert event.regarding is not None
    assert (event.reason, event.regarding.kind, event.regarding.uid) == ("WorkflowWithoutOrder", "Order", run.key.uid)
    assert run.workflow_id in (event.note or "")


async def test_a_workflow_whose_order_was_to_be_orphaned_goes_on_without_it(servers: Servers) -> None:
    """B6: an order deleted before it had a finalizer, while no operator ran, was cancelled whatever its policy."""
    servers.started_with = an_order_input(spec=an_order_spec(deletion_policy=DeletionPolicy.ORPHAN))

    assert await look(servers, an_observation(cluster="here"), times=3) == []

    assert len(servers.let_go) == 1


@pytest.mark.parametrize("orphaned", [False, True])
async def test_a_run_that_stopped_without_its_order_is_taken_over_whatever_the_order_was_to_do(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, orphaned: bool
) -> None:
    """One that went on alone with deletionPolicy Orphan kept the money once somebody terminated it."""
    taken: list[str] = []

    async def take_over(_client: object, run: Observation) -> Observation:
        taken.append(run.run_id)
        return run

    monkeypatch.setattr("order_operator.orders.orphans.take_over", take_over)
    stopped = an_observation(cluster="here", status=WorkflowExecutionStatus.TERMINATED, orphaned=orphaned)

    assert await look(servers, stopped) == []
    assert taken == ["run-1"]


async def test_a_run_without_its_order_that_stops_again_and_again_is_taken_over_ever_more_rarely(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take_over(*_: object) -> Observation:
        raise AssertionError("its time has not come")

    monkeypatch.setattr("order_operator.orders.orphans.take_over", take_over)
    stopped = an_observation(
        cluster="here", status=WorkflowExecutionStatus.FAILED, takeovers=8, close_time=YOUNG - timedelta(minutes=5)
    )

    assert await look(servers, stopped) == []


async def test_workflows_that_began_with_what_nobody_can_read_take_no_others_turn(servers: Servers) -> None:
    orphans = an_orphans_look(servers)
    junk = [an_observation(cluster="here", run_id=f"junk-{number}") for number in range(MAX_PER_LOOK)]
    without_resource = {f"uid-{number}": Tracked(observation=run) for number, run in enumerate(junk)}
    servers.started_with = "junk"
    await orphans.look(without_resource, 1)

    servers.started_with = an_order_input()
    without_resource["uid-readable"] = Tracked(observation=an_observation(cluster="here", run_id="readable"))
    await orphans.look(without_resource, 1)

    assert len(servers.cancelled) == 1


async def test_a_workflow_that_began_with_what_nobody_can_read_is_left_alone(servers: Servers) -> None:
    servers.started_with = "junk"

    assert await look(servers, an_observation(cluster="here"), times=3) == []
    assert servers.let_go == []
