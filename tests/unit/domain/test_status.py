import pytest
from builders import STANDARD_PIPELINE
from hypothesis import given
from hypothesis import strategies as st

from order_domain.pipeline import StepName
from order_domain.status import TERMINAL_PHASES, OrderStatus, Phase, progress

PHASES = {
    "Order Received": "Running",
    "Validate Order": "Running",
    "Enrich Order": "Running",
    "Check Fraud": "Running",
    "Reserve Stock": "Running",
    "Await Stock": "Waiting",
    "Await Approval": "Waiting",
    "Prepare Shipment": "Running",
    "Charge Customer": "Running",
    "Await Address": "Waiting",
    "Ship Order": "Running",
    "Update Order Status": "Running",
    "Notify Customer": "Running",
    "Compensate Order": "Compensating",
    "Order Completed": "Completed",
    "Order Rejected": "Rejected",
    "Order Cancelled": "Cancelled",
    "Order Expired": "Expired",
    "Order Duplicate": "Duplicate",
    "Order Invalid": "Invalid",
    "Order Failed": "Failed",
    "Manual Review": "ManualReview",
}
"""Public: people select by phase."""

pipelines = st.lists(st.sampled_from(StepName), min_size=1, unique=True)


@pytest.mark.parametrize("status", OrderStatus)
def test_every_status_has_the_documented_phase(status: OrderStatus) -> None:
    assert status.phase == PHASES[status]


def test_a_status_is_terminal_when_nothing_more_will_happen() -> None:
    terminal = {status.phase for status in OrderStatus if status.terminal}

    assert terminal == TERMINAL_PHASES
    assert not {Phase.COMPENSATING, Phase.MANUAL_REVIEW, Phase.WAITING, Phase.SUSPENDED} & terminal


@given(pipelines, st.sampled_from(OrderStatus))
def test_progress_never_falls_while_steps_finish(pipeline: list[StepName], status: OrderStatus) -> None:
    shown = [progress(pipeline, pipeline[:done], status) for done in range(len(pipeline) + 1)]

    assert shown == sorted(shown)


@given(pipelines, st.sets(st.sampled_from(StepName)), st.sampled_from(OrderStatus))
def test_progress_is_100_only_for_a_completed_order(
    pipeline: list[StepName], finished: set[StepName], status: OrderStatus
) -> None:
    shown = progress(pipeline, finished, status)

    assert 0 <= shown <= 100
    assert (shown == 100) == (status is OrderStatus.ORDER_COMPLETED)


def test_progress_is_the_finished_share_of_the_pipeline() -> None:
    assert progress(STANDARD_PIPELINE, STANDARD_PIPELINE[:4], OrderStatus.AWAIT_APPROVAL) == 50
