"""All steps of an order as its status shows them: those that have begun, and those that are still to come."""

from collections.abc import Sequence

from order_domain.pipeline import StepName
from order_domain.snapshot import StepRecord, StepState, shortened
from order_domain.status import TERMINAL_PHASES, Phase
from order_operator.orders.pending_work import Retry

OVER = TERMINAL_PHASES | {Phase.COMPENSATING}
"""Phases in which no further step begins."""


def all_steps(
    pipeline: Sequence[StepName], records: Sequence[StepRecord], phase: Phase, retries: Sequence[Retry] = ()
) -> list[StepRecord]:
    """In the order of the `pipeline`, which is empty of a run that has not told it: then only those that have begun.
    One that has not is Pending, or Skipped once the order is ending. `retries` are known of Temporal itself."""
    begun = {record.name: record for record in records}
    to_come = StepState.SKIPPED if phase in OVER else StepState.PENDING
    known = [begun.get(step) or StepRecord(name=step, state=to_come) for step in pipeline]
    others = [record for record in records if record.name not in pipeline]
    retried = {retry.step: retry for retry in retries}
    return [_with(record, retried.get(record.name)) for record in [*known, *others]]


def _with(record: StepRecord, retry: Retry | None) -> StepRecord:
    if retry is None or record.state is not StepState.RUNNING:
        return record
    return record.model_copy(
        update={
            "attempts": max(record.attempts, retry.attempts),
            "last_error": shortened(retry.error),
            "next_attempt_at": retry.next_attempt_at,
        }
    )
