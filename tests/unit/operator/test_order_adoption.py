"""How an order takes over the workflow of an earlier resource of its name, and loses it again."""

import asyncio
from dataclasses import replace

import pytest
from builders import (
    NAME,
    NAMESPACE,
    a_snapshot,
    an_observation,
    an_order_resource,
    an_order_spec,
)
from one_order_shop import (
    FIRST,
    ID,
    WAITING,
    Shop,
    reason,
    temporal_has,
)
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowExecutionStatus

from order_domain.order import DeletionPolicy
from order_domain.snapshot import Owner
from order_operator.orders.tracking import Told, Tracked
from order_workflows.contract import ORDER_CLUSTER, WORKFLOW_TYPE, RunKey, input_hash, workflow_id


async def test_a_run_is_known_to_the_next_order_of_its_name_before_any_row_shows_it(shop: Shop) -> None:
    shop.orders.intake.put(shop.api.store())
    await shop.look()

    next_order = an_order_resource(uid="uid-of-the-next")
    assert shop.orders.intake.open_runs.of_others(next_order) == [ID]


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


TAKEN_BACK = a_snapshot(status="Await Approval", seq=3, owner=Owner(uid=FIRST.uid, cluster="there"))
OF_THE_FIRST = {"phase": "Waiting", "workflow": {"id": workflow_id(*FIRST), "namespace": "default"}}


async def test_a_restored_order_adopts_the_run_that_its_status_names_though_no_row_shows_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a visibility store that was empty it began anew, and ended as a Duplicate of itself."""
    content = input_hash(an_order_spec())
    run = an_observation(key=FIRST, workflow_id=workflow_id(*FIRST), input_hash=content, cluster="here")
    temporal_has(monkeypatch, run)
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
    temporal_has(monkeypatch, run)
    shop.orders._tracked[adopter.uid] = Tracked(observation=run, told=Told(run.run_id, DeletionPolicy.CANCEL, 0.0))
    shop.orders.intake.open_runs.saw(FIRST, running=True)
    shop.orders.intake.put(shop.api.store())

    await shop.look()

    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready")[1] == "PredecessorEnding"


async def test_an_order_whose_workflow_was_taken_back_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    run = an_observation(workflow_id=workflow_id(*FIRST), snapshot=WAITING, cluster="here")
    temporal_has(monkeypatch, run)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))
    await shop.look()

    shop.observe(replace(run, key=FIRST, cluster="there", snapshot=TAKEN_BACK))
    await shop.look()

    assert shop.api.body is not None
    assert reason(shop.api.body["status"], "Ready")[1] == "AdoptedElsewhere"


async def test_an_order_whose_workflow_was_taken_back_before_any_row_showed_the_adoption_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on to show the order as its own, for good."""
    run = an_observation(workflow_id=workflow_id(*FIRST), snapshot=WAITING, cluster="here")
    temporal_has(monkeypatch, run)
    shop.orders.intake.open_runs.saw(FIRST, running=True)
    shop.orders.intake.put(shop.api.store())
    await shop.look()

    shop.observe(replace(run, key=FIRST, cluster="there", snapshot=TAKEN_BACK))
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
    temporal_has(monkeypatch, run)
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
    temporal_has(monkeypatch, run)
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
    temporal_has(monkeypatch, first if by_this_process else adopted)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))
    await shop.look()
    await asyncio.sleep(0.01)
    before = list(shop.temporal.calls)
    temporal_has(monkeypatch, adopted)
    await shop.look()

    reset = replace(first, run_id="run-after-the-reset")
    temporal_has(monkeypatch, reset)
    shop.observe(reset)
    await shop.look()
    await asyncio.sleep(0.01)

    assert shop.temporal.calls == [*before, "adopt"]


async def test_a_late_row_of_before_an_adoption_is_asked_about_and_changes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"workflow_id": workflow_id(*FIRST), "input_hash": input_hash(an_order_spec()), "cluster": "here"}
    adopted = an_observation(snapshot=WAITING, **about)
    temporal_has(monkeypatch, adopted)
    shop.orders.intake.put(shop.api.store(status=OF_THE_FIRST))
    await shop.look()

    shop.observe(an_observation(key=FIRST, snapshot=a_snapshot(seq=1), **about))
    await shop.look()
    await asyncio.sleep(0.01)

    assert shop.temporal.calls == []
