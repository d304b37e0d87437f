"""The steps in the status: those that have begun, and those to come."""

from datetime import UTC, datetime

from order_domain.pipeline import StepName
from order_domain.snapshot import StepRecord, StepState
from order_domain.status import Phase
from order_operator.orders.pending_work import Retry
from order_operator.orders.steps import all_steps

PIPELINE = (StepName.RECEIVE, StepName.CHARGE_PAYMENT, StepName.SHIP)
SOON = datetime(2026, 3, 4, tzinfo=UTC)
RECEIVED = StepRecord(name=StepName.RECEIVE, state=StepState.SUCCEEDED, attempts=1)
CHARGING = StepRecord(name=StepName.CHARGE_PAYMENT, state=StepState.RUNNING)
AGAIN = Retry("charge_payment", StepName.CHARGE_PAYMENT, 3, "connection refused", SOON)


def test_steps_that_have_not_begun_are_pending() -> None:
    steps = all_steps(PIPELINE, [RECEIVED], Phase.RUNNING)

    assert [(step.name, step.state) for step in steps] == [
        ("Receive", "Succeeded"),
        ("ChargePayment", "Pending"),
        ("Ship", "Pending"),
    ]


def test_steps_that_an_order_which_is_ending_will_not_come_to_are_skipped() -> None:
    for phase in (Phase.COMPENSATING, Phase.FAILED):
        assert all_steps(PIPELINE, [RECEIVED], phase)[-1].state is StepState.SKIPPED


def test_of_a_run_that_has_not_told_its_pipeline_the_steps_that_have_begun_are_shown() -> None:
    assert all_steps((), [RECEIVED], Phase.RUNNING) == [RECEIVED]


def test_a_step_that_has_begun_and_is_not_in_the_pipeline_is_shown_all_the_same() -> None:
    notified = StepRecord(name=StepName.NOTIFY, state=StepState.SUCCEEDED)

    assert all_steps(PIPELINE, [RECEIVED, notified], Phase.FAILED)[-1] == notified


def test_a_step_that_is_tried_again_shows_attempts_error_and_next_try() -> None:
    charging = all_steps(PIPELINE, [RECEIVED, CHARGING], Phase.RUNNING, [AGAIN])[1]

    assert (charging.attempts, charging.last_error, charging.next_attempt_at) == (3, "connection refused", SOON)


def test_a_step_that_is_over_is_not_tried_again_whatever_was_known_of_it() -> None:
    charged = CHARGING.model_copy(update={"state": StepState.SUCCEEDED})

    assert all_steps(PIPELINE, [RECEIVED, charged], Phase.RUNNING, [AGAIN])[1] == charged
