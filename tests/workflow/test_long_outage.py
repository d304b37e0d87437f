"""An order whose step fails for so long that its history grows long."""

from datetime import timedelta

import pytest
from real_shop import RealShop, shipping_class
from storefront import eventually
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from order_domain.pipeline import StepName
from order_domain.snapshot import StepRecord, StepState
from order_worker.sandbox import production_runner
from order_workflows import contract, timing
from order_workflows.contract import CancelRequest
from order_workflows.order_workflow import OrderWorkflow

CHECKED = ["Receive", "Validate", "CheckFraud", "ReserveStock", "ChargePayment", "Ship"]
PATIENT = shipping_class(CHECKED, retry={"default": {"initial_seconds": 1, "max_interval_seconds": 1}})


async def fails(real: RealShop, attempts: int) -> tuple[StepRecord, WorkflowHistory]:
    """How the fraud check stands that has failed so often, and the history by then. The order is cancelled."""
    real.fraud.is_down_for("check")
    order = await real.place(policy=PATIENT)
    step = StepRecord(name=StepName.CHECK_FRAUD, state=StepState.RUNNING)

    async def tried() -> bool:
        nonlocal step
        records = {record.name: record for record in (await order.snapshot()).steps}
        step = records.get(StepName.CHECK_FRAUD, step)
        return step.attempts >= attempts and step.next_attempt_at is not None

    await eventually(tried, "tried")
    history = await order.handle.fetch_history()
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await real.ends(order)
    return step, history


async def test_a_step_that_fails_in_a_long_history_waits_longer_and_is_cancelled_all_the_same(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "LONG_HISTORY", ((5, timedelta(hours=1)),))

    step, history = await fails(real, 1)

    paused = [event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta() for event in history.events]
    assert timing.FIRST_LONG_PAUSE in paused
    assert step.next_attempt_at is not None


async def test_a_history_with_the_pauses_of_an_earlier_release_replays(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders under way at the upgrade have short pauses in histories that count as long today."""
    _, history = await fails(real, 8)
    monkeypatch.setattr(timing, "LONG_HISTORY", ((5, timedelta(hours=1)),))

    replayer = Replayer(
        workflows=[OrderWorkflow],
        data_converter=pydantic_data_converter,
        workflow_runner=production_runner(),
    )
    await replayer.replay_workflow(WorkflowHistory(history.workflow_id, history.events))
