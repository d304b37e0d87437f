"""What the workflow of an order hears of its deletion."""

import asyncio

import pytest
from builders import (
    a_snapshot,
    an_observation,
    an_order_spec,
)
from one_order_shop import (
    ID,
    Shop,
    delete,
    waiting,
)
from temporalio.client import WorkflowExecutionStatus


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
