"""A cancellation by Temporal while an order waits for a person, with the SDK's logic flag 2 off, as today, and on, as
the SDK announces it for its next default."""

import pytest
from real_shop import RealShop, shipping_class
from temporalio.client import WorkflowExecutionStatus
from temporalio.worker import _workflow, _workflow_instance

from order_domain.status import OrderStatus
from order_workflows import contract

SINGLE_BATCH = _workflow_instance._WorkflowLogicFlag.PROCESS_WORKFLOW_ACTIVATION_JOBS_AS_SINGLE_BATCH


@pytest.fixture(params=[False, True], ids=["flag-off", "flag-on"], autouse=True)
def logic_flag(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Set before the worker is built."""
    flags = frozenset({SINGLE_BATCH}) if request.param else frozenset()
    monkeypatch.setattr(_workflow, "_DEFAULT_ENABLED_WORKFLOW_LOGIC_FLAGS", flags)
    return bool(request.param)


async def flags_used(real: RealShop, order_id: str) -> set[int]:
    history = await real.client.get_workflow_handle(order_id).fetch_history()
    return {
        flag
        for event in history.events
        for flag in event.workflow_task_completed_event_attributes.sdk_metadata.lang_used_flags
    }


@pytest.mark.parametrize("update", [contract.UPDATE_RESUME, contract.UPDATE_RETRY])
async def test_a_cancellation_in_manual_review_does_not_end_the_undoing(
    logic_flag: bool, real: RealShop, update: str
) -> None:
    real.carrier.is_down_for("dispatch", "find")
    real.payments.is_down_for("refund")
    order = await real.place(policy=shipping_class())
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    await order.handle.cancel()
    real.payments.recovers()

    await order.update(update)

    assert await real.ends(order) == OrderStatus.ORDER_FAILED
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.FAILED
    await real.kept_nothing(order)
    assert (SINGLE_BATCH.value in await flags_used(real, order.handle.id)) is logic_flag


async def test_a_sold_order_waits_for_its_repair_though_it_is_cancelled(logic_flag: bool, real: RealShop) -> None:
    real.carrier.is_down_for("dispatch", "find")
    order = await real.place(policy=shipping_class(compensation={"pivot": "ChargePayment"}))
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    await order.handle.cancel()
    real.carrier.recovers()

    await order.update(contract.UPDATE_RETRY)

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    await real.carried_out(order, total=50_000)
    assert (SINGLE_BATCH.value in await flags_used(real, order.handle.id)) is logic_flag


async def test_an_order_is_carried_out(logic_flag: bool, real: RealShop) -> None:
    order = await real.place(policy=shipping_class())

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED

    await real.carried_out(order, total=50_000)
    assert (SINGLE_BATCH.value in await flags_used(real, order.handle.id)) is logic_flag
