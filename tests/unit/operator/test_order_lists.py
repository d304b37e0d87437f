"""What becomes of orders that a list of the cluster lacks, or has as they were earlier."""

import asyncio
from datetime import UTC, datetime

import pytest
from builders import (
    NAME,
    NAMESPACE,
    UID,
    a_snapshot,
    an_observation,
    an_order_body,
)
from one_order_shop import (
    ID,
    WAITING,
    Shop,
    waiting,
)

from order_operator.cluster.api import Listed
from order_operator.orders import orphans
from order_operator.temporal.cancellation import BRAKE_NUMBER
from order_workflows.contract import RunKey, workflow_id


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
