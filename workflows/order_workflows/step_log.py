"""The steps of one order: which ran, which runs now, and how each went. Pure: the caller brings the time."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from order_domain.pipeline import StepName
from order_domain.snapshot import StepRecord, StepState, shortened

DONE = frozenset({StepState.SUCCEEDED, StepState.SKIPPED})
"""States that count for progress."""


class StepLog:
    """One record for each step that has begun. `earlier` are the records of a run that this one continues."""

    def __init__(self, pipeline: Sequence[StepName], earlier: Iterable[StepRecord] = ()) -> None:
        self.current: StepName | None = None
        """The step that runs now."""
        self._pipeline = pipeline
        self._records = {record.name: record for record in earlier}

    @property
    def records(self) -> list[StepRecord]:
        """In the order in which the steps began."""
        return list(self._records.values())

    @property
    def states(self) -> dict[StepName, StepState]:
        """Of the steps that have begun."""
        return {step: record.state for step, record in self._records.items()}

    @property
    def ahead(self) -> list[StepName]:
        """Those of the pipeline that are not known to be done. One that an earlier run did without showing it does
        nothing a second time: the ledger answers as it did then."""
        return [step for step in self._pipeline if not self.is_over(step)]

    def has_done(self, step: StepName) -> bool:
        """Whether `step` ran and succeeded."""
        record = self._records.get(step)
        return record is not None and record.state is StepState.SUCCEEDED

    def is_over(self, step: StepName) -> bool:
        """Whether `step` succeeded or was skipped."""
        record = self._records.get(step)
        return record is not None and record.state in DONE

    def is_closed(self, step: StepName) -> bool:
        """Whether `step` ran and ended, in whatever way."""
        record = self._records.get(step)
        return record is not None and record.finished_at is not None

    def begin(self, step: StepName, now: datetime) -> None:
        """`step` runs from now on."""
        self.current = step
        self._records[step] = StepRecord(name=step, state=StepState.RUNNING, started_at=now)

    def wait(self) -> None:
        """The current step waits for a person or for the world."""
        assert self.current is not None
        self._mark(self.current, state=StepState.WAITING)

    def attempted(self, attempts: int, last_error: str | None, *, next_attempt_at: datetime | None = None) -> None:
        """Keep how many attempts the current step took, what went wrong before the last one, and when it is tried
        again."""
        step = self.current
        if step is not None:
            record = self._records[step]
            self._mark(
                step,
                attempts=max(attempts, record.attempts),
                last_error=last_error or record.last_error,
                next_attempt_at=next_attempt_at,
            )

    def finish(self, state: StepState, now: datetime, **changes: object) -> None:
        """Close the current step; one that was skipped is closed already. `changes` are further fields of its
        record."""
        if self.current is not None:
            self._mark(self.current, state=state, finished_at=now, next_attempt_at=None, **changes)
            self.current = None

    def stop_short(self, begun: Iterable[StepName], message: str, now: datetime) -> None:
        """Steps that an earlier run had under way, or had `begun` without showing it, go no further."""
        for step in begun:
            self._records.setdefault(step, StepRecord(name=step, state=StepState.RUNNING))
        for step, state in self.states.items():
            if state in {StepState.RUNNING, StepState.WAITING}:
                self._mark(step, state=StepState.FAILED, finished_at=now, next_attempt_at=None, last_error=message)

    def undone(self, step: StepName, state: StepState) -> None:
        """Note how the undoing of `step` ended. A step that failed stays so: mostly there was nothing to undo."""
        failed = self._records[step].state is StepState.FAILED
        if not (failed and state is StepState.COMPENSATED):
            self._mark(step, state=state)

    def all_undone(self) -> None:
        """Also what this log says could not be undone."""
        for step, state in self.states.items():
            if state is StepState.COMPENSATION_FAILED:
                self._mark(step, state=StepState.COMPENSATED)

    def _mark(self, step: StepName, **changes: object) -> None:
        if isinstance(error := changes.get("last_error"), str):
            changes["last_error"] = shortened(error)
        self._records[step] = self._records[step].model_copy(update=changes)
