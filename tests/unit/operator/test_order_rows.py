"""What rows and answers of Temporal tell of an order. Some are late, and some are of a Temporal that was restored."""

import asyncio

import pytest
from builders import (
    UID,
    a_snapshot,
    an_observation,
    an_order_spec,
)
from one_order_shop import (
    ID,
    WAITING,
    Shop,
    delete,
    reason,
    waiting,
)
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowExecutionStatus

from order_operator.orders import adoption, tracking
from order_operator.orders.observation import Observation
from order_workflows.contract import ORDER_CLUSTER, WORKFLOW_TYPE, RunKey, workflow_id


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
