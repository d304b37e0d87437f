"""What the log of an order's steps remembers."""

from datetime import UTC, datetime, timedelta

from order_domain.pipeline import StepName
from order_domain.snapshot import StepRecord, StepState
from order_workflows.step_log import StepLog

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
PIPELINE = (StepName.RECEIVE, StepName.VALIDATE, StepName.APPROVAL)


def of_earlier_run(**states: StepState) -> StepLog:
    return StepLog(PIPELINE, [StepRecord(name=StepName[name], state=state) for name, state in states.items()])


def test_steps_that_succeeded_or_were_skipped_are_not_ahead() -> None:
    log = of_earlier_run(RECEIVE=StepState.SUCCEEDED, VALIDATE=StepState.SKIPPED, APPROVAL=StepState.WAITING)

    assert log.ahead == [StepName.APPROVAL]
    assert log.has_done(StepName.RECEIVE)
    assert not log.has_done(StepName.VALIDATE)


def test_a_step_that_was_skipped_is_not_closed_again() -> None:
    log = StepLog(PIPELINE)
    log.begin(StepName.APPROVAL, NOW)
    log.finish(StepState.SKIPPED, NOW)

    log.finish(StepState.SUCCEEDED, LATER)

    [record] = log.records
    assert (record.state, record.finished_at) == (StepState.SKIPPED, NOW)
    assert log.current is None


def test_a_step_keeps_its_most_attempts_and_its_last_error() -> None:
    log = StepLog(PIPELINE)
    log.begin(StepName.VALIDATE, NOW)
    log.attempted(3, "no answer")

    log.attempted(1, None)

    [record] = log.records
    assert (record.attempts, record.last_error) == (3, "no answer")


def test_steps_under_way_or_begun_unseen_are_stopped_short() -> None:
    log = of_earlier_run(RECEIVE=StepState.SUCCEEDED, VALIDATE=StepState.RUNNING)

    log.stop_short([StepName.APPROVAL], "terminated", LATER)

    assert log.states == {
        StepName.RECEIVE: StepState.SUCCEEDED,
        StepName.VALIDATE: StepState.FAILED,
        StepName.APPROVAL: StepState.FAILED,
    }
    assert [record.last_error for record in log.records] == [None, "terminated", "terminated"]


def test_a_step_that_failed_is_not_shown_as_compensated() -> None:
    log = of_earlier_run(RECEIVE=StepState.SUCCEEDED, VALIDATE=StepState.FAILED)

    for step in (StepName.RECEIVE, StepName.VALIDATE):
        log.undone(step, StepState.COMPENSATED)
    assert log.states[StepName.RECEIVE] is StepState.COMPENSATED
    assert log.states[StepName.VALIDATE] is StepState.FAILED

    log.undone(StepName.VALIDATE, StepState.COMPENSATION_FAILED)
    assert log.states[StepName.VALIDATE] is StepState.COMPENSATION_FAILED
