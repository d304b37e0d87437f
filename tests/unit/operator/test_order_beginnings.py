"""Which orders begin, by which class, and which do not."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import (
    an_order_body,
    an_order_spec,
)
from one_order_shop import (
    FIRST,
    OWN_WORKFLOW,
    Shop,
    reason,
    waiting,
)

from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL, FINALIZER
from order_operator.cluster.conditions import Reason
from order_operator.orders import reconcile
from order_operator.orders.observation import Observation
from order_operator.problem import Problem
from order_operator.temporal.task_queue_owner import TaskQueueOwner
from order_workflows.contract import OrderInput, workflow_id


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
