"""What is shown of an order, and when: its finalizer and its status are brought up to date, one write at a time."""

from collections.abc import Sequence

from order_domain.status import TERMINAL_PHASES, Phase
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import Action, Finish, SetFinalizer, Wait, WriteStatus
from order_operator.orders.amendment import Refusal
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import no_worker
from order_operator.orders.reflection import reflect
from order_operator.orders.takeover import is_abandoned
from order_operator.problem import Problem

LASTING_SECONDS = 0.4
"""A status of an order that only makes progress is shown once it has been seen for so long: with the half second
between two scans, one that lasts a second is shown within that second, and most of those that pass by are not."""
PROGRESS_SECONDS = 0.5
"""Least time between two writes that show progress only. Phases, waits, edits and ends are shown at once."""
BUSY_SECONDS = 2.0
"""Before progress is looked at again that was not shown since there is much else to write."""
LONGEST_BUSY_SECONDS = 30.0
"""A status that has been seen for so long is shown however much else there is to write: it does not pass by."""
FINALIZER_AGE_SECONDS = 5.0
"""A running order of this age lasts, and gets the finalizer. Most orders have ended by then: the two writes are an
order's dearest."""
LONGEST_UNGUARDED_SECONDS = 120.0
"""Of this age it gets it however much else there is to write. Later the lack of it means that it was taken off by force
(`orphans.YOUNG_SECONDS`), and a deletion that nobody has seen is not followed."""
AGAIN_SECONDS = 10.0
"""Before something that only another party can end is looked at again."""

REFUSED_FINALIZER_SECONDS = 60.0
"""Before a finalizer that the API server has refused is tried again."""

PAUSED = Problem(Reason.PAUSED, "new orders are not started at present: the operator's setting `paused` is on")


def show(
    known: Known,
    problem: Problem | None = None,
    *,
    refusals: Sequence[Refusal] = (),
    applying: bool = False,
    again: float | None = None,
) -> Action:
    """Bring finalizer and status up to date, one write at a time, then wait."""
    order = known.order
    status = reflect(
        order,
        known.observation,
        now=known.now,
        temporal_namespace=known.temporal_namespace,
        temporal_ui=known.temporal_ui,
        problem=problem or no_worker(known.observation, known.work, known.without_worker, applying=applying),
        refusals=refusals,
        applying=applying,
        work=known.work,
        elsewhere=_elsewhere(known, problem),
    )
    phase = Phase(status["phase"])
    changed = status != order.status
    finalizer = _wants_finalizer(known, phase)
    if finalizer != order.held and not (finalizer and known.unguarded):
        return SetFinalizer(finalizer)
    if changed:
        return WriteStatus(status)
    ended = phase in TERMINAL_PHASES and known.observation is not None and not is_abandoned(known.observation)
    if ended and not order.deleting:  # what is being deleted already is not to be deleted in time
        return Finish()
    passing = problem not in (None, PAUSED) and not problem.stalled and known.connection is None
    if again is None and (passing or applying):
        again = AGAIN_SECONDS
    if again is None and _gets_finalizer_later(known, phase):
        again = max(FINALIZER_AGE_SECONDS - order.age(known.now), BUSY_SECONDS)
    if known.unguarded:
        again = min(again or REFUSED_FINALIZER_SECONDS, REFUSED_FINALIZER_SECONDS)
    return Wait(again)


def _elsewhere(known: Known, problem: Problem | None) -> Observation | None:
    held = problem is not None and problem.reason is Reason.RESTORED_ELSEWHERE
    return known.predecessor.run if held and known.predecessor is not None else None


def _wants_finalizer(known: Known, phase: Phase) -> bool:
    """Every order that lasts carries it, whatever its policy, so that its deletion is seen with its last policy
    (docs/decisions/0007-finalizer-for-orders-that-last.md). Without an observation nothing says that it may go."""
    run, order = known.observation, known.order
    if run is None or run.snapshot is None:
        return order.held
    if known.adopted_elsewhere:
        return False
    if order.deleting:
        return order.held  # the API server takes no new one then; `_let_go` takes it off
    least = FINALIZER_AGE_SECONDS if known.quiet else LONGEST_UNGUARDED_SECONDS
    lasts = order.names_workflow and abs(order.age(known.now)) >= least
    return phase not in TERMINAL_PHASES and (order.held or phase is not Phase.RUNNING or lasts)


def _gets_finalizer_later(known: Known, phase: Phase) -> bool:
    run, order = known.observation, known.order
    open_run = run is not None and run.running and run.snapshot is not None
    return open_run and phase is Phase.RUNNING and not (order.held or order.deleting)


def seconds_until_progress_is_due(known: Known, run: Observation) -> float:
    """0 if there is more to show than progress."""
    if not run.running or run.snapshot is None or known.doubted:
        return 0.0
    phase = run.snapshot.status.phase
    shown = known.order.status.get("phase"), known.order.status.get("observedGeneration")
    if shown != (phase, known.order.generation) or run.snapshot.suspended or phase is Phase.WAITING:
        return 0.0
    left = max(known.status_seen_at + LASTING_SECONDS, known.written_at + PROGRESS_SECONDS) - known.clock
    lasts = known.clock - known.status_seen_at >= LONGEST_BUSY_SECONDS
    return max(left, 0.0 if known.quiet or lasts else BUSY_SECONDS)
