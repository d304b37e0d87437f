"""What to do next for one order: a pure function from what is known to one action.

The reconciler performs the action, puts the answer into what is known, and asks again until the answer is to wait.
tests/unit/operator/test_decision.py is the table of cases, and so the specification of the operator.

Absence proves nothing. That no run was seen is no reason to start one, to take a finalizer off or to replace a status:
each of these needs an answer of whoever would know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from order_domain.order import DeletionPolicy
from order_domain.refusals import RefusalType
from order_domain.snapshot import CompensationState
from order_domain.status import TERMINAL_PHASES, OrderStatus, Phase
from order_operator.cluster.conditions import Reason
from order_operator.orders.adoption import Predecessor, adoption, is_another_order, obstacle
from order_operator.orders.amendment import Amendment, EditState, Refusal, deferred_approval, drifted, plan
from order_operator.orders.classes import OrderClass
from order_operator.orders.observation import Observation
from order_operator.orders.reflection import reflect, shows_other_run
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_operator.orders.takeover import is_abandoned, seconds_until_takeover
from order_operator.problem import Problem
from order_operator.temporal.connection import NOT_ANSWERED
from order_workflows.contract import RunKey

FRESH_SECONDS = 5.0
"""An order older than this may be gone by now, though the watch still delivers it: an operator that was frozen reads
its creation before its deletion. The API server is asked before such an order is started."""
ANSWER_GRACE_SECONDS = 2.0
"""An edit that is answered and has its effect within this time is shown in one write, with its effect."""
LASTING_SECONDS = 0.4
"""A status of an order that only makes progress is shown once it has been seen for so long: with the half second
between two scans, one that lasts a second is shown within that second, and most of those that pass by are not."""
PROGRESS_SECONDS = 0.5
"""Least time between two writes that show progress only. Phases, waits, edits and ends are shown at once."""
BUSY_SECONDS = 2.0
"""Before progress is looked at again that was not shown since there is much else to write."""
YOUNG_SECONDS = 5.0
"""A running order of this age lasts, and gets the finalizer. Most orders have ended by then: the two writes are an
order's dearest."""
REFUSED_SECONDS = 60.0
"""Before a start that Temporal has refused for its content is tried again."""
AGAIN_SECONDS = 10.0
"""Before something that only another party can end is looked at again."""


PAUSED = Problem(Reason.PAUSED, "new orders are not started at present: the operator's setting `paused` is on")


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that is known of one order, at one moment."""

    order: OrderResource
    """The newest version that the watch or a write of our own has brought."""
    now: datetime
    clock: float
    """Monotonic time, in seconds."""
    gone: bool = False
    """The resource is deleted, says the watch or a complete list."""
    exists: bool = False
    """The API server was asked in this reconciliation, and has this very resource."""
    observation: Observation | None = None
    others: Sequence[str] = ()
    """Ids of open workflows that visibility shows under this name and another uid."""
    predecessor: Predecessor | None = None
    """What Temporal itself, asked in this reconciliation, told of one of them."""
    asked: bool = False
    """Temporal itself was asked in this reconciliation, not visibility. Without an observation its answer was that it
    has no such run."""
    doubted: bool = False
    """Something says that the observation may be wrong: a run that a full scan did not list, a call that did not find
    it, a status that somebody else changed."""
    told: bool = False
    """The present run was told a moment ago that its resource is being deleted, or is gone."""
    synced: bool = True
    """The first full scan is through: open runs have been seen."""
    paused: bool = False
    """No new order is to be started."""
    connection: Problem | None = None
    """Why Temporal cannot be asked."""
    order_class: OrderClass | Problem
    refused: Problem | None = None
    """Why Temporal has just refused to start the workflow."""
    takeover_problem: Problem | None = None
    """Why the present run could not be taken over."""
    edits: EditState = field(default_factory=EditState)
    written_at: float = float("-inf")
    """Monotonic time of the last status write."""
    status_seen_at: float = float("-inf")
    """Monotonic time at which the workflow's present OrderStatus was seen first."""
    quiet: bool = True
    """So little is written at the moment that progress may be shown (`WriteBudget`)."""
    cluster: str
    """Identity of this installation."""
    temporal_namespace: str


@dataclass(frozen=True)
class Describe:
    """Ask Temporal itself for the newest run."""


@dataclass(frozen=True)
class DescribeOther:
    """Ask Temporal itself for this workflow, which carries an order of the same name."""

    workflow_id: str


@dataclass(frozen=True)
class Confirm:
    """Ask the API server whether the resource still exists."""


@dataclass(frozen=True)
class Start:
    """Start the workflow, or find the one that is there."""

    order_class: OrderClass
    parsed: ParsedSpec


@dataclass(frozen=True)
class TakeOver:
    """Start the next run of an order whose workflow came to no end of its own."""

    run: Observation


@dataclass(frozen=True)
class Send:
    """Bring these edits to the workflow; of the earlier answers only those to `wanted` still count."""

    run: Observation
    changes: Sequence[Amendment]
    wanted: Sequence[Amendment]


@dataclass(frozen=True)
class Cancel:
    """Ask the workflow to stop and to undo what it did."""

    run: Observation


@dataclass(frozen=True)
class Release:
    """Tell the workflow that it goes on without its resource."""

    run: Observation


@dataclass(frozen=True)
class SetFinalizer:
    """Put our finalizer on the resource, or take it off."""

    present: bool


@dataclass(frozen=True)
class WriteStatus:
    """Let the resource have this status."""

    status: Mapping[str, Any]


@dataclass(frozen=True)
class Finish:
    """Nothing is left to do; details need not be kept."""


@dataclass(frozen=True)
class Forget:
    """The resource is gone, and all is said to its workflow."""


@dataclass(frozen=True)
class Wait:
    """Until something is news, or for so many seconds at the longest."""

    seconds: float | None = None


Action = (
    Describe
    | DescribeOther
    | Confirm
    | Start
    | TakeOver
    | Send
    | Cancel
    | Release
    | SetFinalizer
    | WriteStatus
    | Finish
    | Forget
    | Wait
)


def next_action(known: Known) -> Action:
    """The one thing to do now."""
    if known.connection is NOT_ANSWERED:
        return Wait()  # the first answer, whatever it is, lets every order be looked at
    if known.gone:
        return _after_deletion(known)
    if known.order.deleting:
        return _let_go(known) if _is_adopted_elsewhere(known) else _deletion(known)
    if known.doubted and known.connection is None:
        return Describe()
    if known.observation is None:
        return _without_run(known)
    return _with_run(known, known.observation)


def _without_run(known: Known) -> Action:
    order = known.order
    if order.ended and (order.observed or known.asked):
        # Not started again: what was charged is charged. Only an edit that came after the end is acknowledged.
        status = {**order.status, "observedGeneration": order.generation}
        return Finish() if order.observed else WriteStatus(status)
    if known.connection is not None:
        return _show(known, known.connection)
    if not known.synced:
        return Wait()  # the full scan may be about to bring the run, and looks at this order again when it is through
    if order.ended:
        return Describe()
    return _start(known)


def _start(known: Known) -> Action:
    """There is no run as far as is known; make sure of that, and start one."""
    order, parsed = known.order, known.order.parsed
    if isinstance(parsed, Problem):
        return _show(known, parsed)
    if isinstance(known.order_class, Problem):
        return _show(known, known.order_class)
    if known.paused and not order.names_workflow:
        return _show(known, PAUSED)
    if known.refused is not None:
        return _show(known, known.refused, again=REFUSED_SECONDS)
    if (order.names_workflow or order.held) and not known.asked:
        return Describe()
    if not known.exists and abs(order.age(known.now)) > FRESH_SECONDS:
        return Confirm()
    if known.predecessor is not None:
        return _after(known, known.predecessor, parsed)
    if known.others:
        return DescribeOther(known.others[0])
    return Start(known.order_class, parsed)


def _after(known: Known, predecessor: Predecessor, parsed: ParsedSpec) -> Action:
    """An order of the same name is under way under another uid, and its resource is gone: the API server has this one
    under the name."""
    order, order_class = known.order, known.order_class
    assert not isinstance(order_class, Problem)
    if is_another_order(predecessor, parsed, known.cluster):
        return Start(order_class, parsed)
    problem = obstacle(predecessor, parsed, known.cluster)
    if problem is not None:
        return _show(known, problem, again=AGAIN_SECONDS)
    if not known.exists:
        return Confirm()
    adopt = adoption(order, known.cluster)
    refused = known.edits.refused.get(adopt.update_id)
    if refused is not None:
        return _show(known, Problem(Reason.REFUSED, refused.message, stalled=True), again=AGAIN_SECONDS)
    if not known.edits.has_sent(adopt):
        key = RunKey(order.namespace, order.name, order.uid)
        return Send(replace(predecessor.run, key=key), [adopt], [adopt])
    why = f"workflow {predecessor.run.workflow_id} is asked to go on with this order, as soon as a worker answers"
    return _show(known, Problem(Reason.ADOPTING, why), again=AGAIN_SECONDS)


def _with_run(known: Known, run: Observation) -> Action:
    order = known.order
    if _is_adopted_elsewhere(known):
        return _show(known, _adopted_elsewhere(run))
    if is_abandoned(run):
        return _take_over(known, run)
    if run.unreadable:
        return _show(known, _unreadable(run))
    if _shows_more_than(order, run) and not known.asked and known.connection is None:
        return Describe()
    parsed = order.decoded
    if isinstance(parsed, Problem):
        return _show(known, parsed)
    if run.input_hash is not None and run.input_hash != parsed.input_hash:
        why = "the workflow of this order was started with another spec; it is not touched"
        return _show(known, Problem(Reason.WORKFLOW_MISMATCH, why, stalled=True))
    early = _seconds_until_progress_is_due(known, run)
    if early > 0:
        return Wait(early)
    if run.snapshot is None:
        return _show(known, _asking_ledger(order, run))
    if not run.running:
        return _show(known)
    return _amend(known, run, parsed)


def _amend(known: Known, run: Observation, parsed: ParsedSpec) -> Action:
    order, snapshot = known.order, run.snapshot
    assert snapshot is not None
    wanted = plan(parsed, order.generation, order.uid, snapshot)
    if wanted and (known.connection is not None or run.task_problems):
        return _show(known, known.connection, applying=True)
    answered = known.edits.refused
    unsent = [change for change in wanted if change.update_id not in answered and not known.edits.has_sent(change)]
    if unsent:
        return Send(run, unsent, wanted)
    sent_at = [known.edits.sent_at[each.update_id] for each in wanted if each.update_id in known.edits.sent_at]
    waited = known.clock - min(sent_at) if sent_at else None
    if waited is not None and waited < ANSWER_GRACE_SECONDS:
        return Wait(ANSWER_GRACE_SECONDS - waited)
    refusals = [answered[change.update_id] for change in wanted if change.update_id in answered]
    refusals += drifted(parsed, snapshot)
    refusals = [*deferred_approval(parsed, snapshot, refusals), *refusals]
    return _show(known, refusals=refusals, applying=waited is not None)


def _take_over(known: Known, run: Observation) -> Action:
    if known.connection is not None or known.takeover_problem is not None:
        return _show(known, known.connection or known.takeover_problem)
    left = seconds_until_takeover(run, known.now)
    if left > 0:
        why = f"the workflow ended as {run.status.name.title()} without an end of the order: its next run starts soon"
        return _show(known, Problem(Reason.RUN_STOPPED, why), again=left)
    return TakeOver(run)


def _asking_ledger(order: OrderResource, run: Observation) -> Problem | None:
    """A run that follows one whose history is lost."""
    if not shows_other_run(order, run):
        return None
    why = "Temporal has lost this order's history: a new run asks the ledger what was done, as soon as a worker answers"
    return Problem(Reason.ASKING_LEDGER, why)


def _is_adopted_elsewhere(known: Known) -> bool:
    """Whether its workflow says that it belongs to another resource now."""
    return known.observation is not None and known.observation.key.uid != known.order.uid


def _adopted_elsewhere(run: Observation) -> Problem:
    why = (
        f"a resource restored from a backup has taken over this order (uid {run.key.uid}, installation "
        f"{run.cluster}): this one shows it no further, and can be deleted without harm"
    )
    return Problem(Reason.ADOPTED_ELSEWHERE, why, stalled=True)


def _unreadable(run: Observation) -> Problem:
    why = run.unreadable_because or "it was written by a newer release"
    return Problem(
        Reason.SNAPSHOT_UNREADABLE,
        f"this operator cannot read what the workflow has published: {why}. The status is as it was before",
        stalled=True,
    )


def _shows_more_than(order: OrderResource, run: Observation) -> bool:
    """The status tells of a later moment of this very run: what was seen of it is old, or somebody forged the status.
    Temporal itself knows which."""
    if not run.running or not order.names_workflow or shows_other_run(order, run):
        return False
    seen = run.snapshot.progress if run.snapshot else 0
    return order.ended or int(order.status.get("progress") or 0) > seen


def _seconds_until_progress_is_due(known: Known, run: Observation) -> float:
    """0 if there is more to show than progress."""
    if not run.running or run.snapshot is None or known.doubted:
        return 0.0
    shown = known.order.status.get("phase"), known.order.status.get("observedGeneration")
    if shown != (run.snapshot.status.phase, known.order.generation) or run.snapshot.suspended:
        return 0.0
    left = max(known.status_seen_at + LASTING_SECONDS, known.written_at + PROGRESS_SECONDS) - known.clock
    return max(left, 0.0 if known.quiet else BUSY_SECONDS)


def _show(
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
        problem=problem,
        refusals=refusals,
        applying=applying,
    )
    phase = Phase(status["phase"])
    changed = status != order.status
    finalizer = _wants_finalizer(known, phase)
    if finalizer != order.held:
        return SetFinalizer(finalizer)
    if changed:
        return WriteStatus(status)
    if phase in TERMINAL_PHASES and known.observation is not None and not is_abandoned(known.observation):
        return Finish()
    passing = problem not in (None, PAUSED) and not problem.stalled and known.connection is None
    if again is None and (passing or applying):
        again = AGAIN_SECONDS
    if again is None and _gets_finalizer_later(known, phase):
        again = max(YOUNG_SECONDS - order.age(known.now), BUSY_SECONDS)
    return Wait(again)


def _wants_finalizer(known: Known, phase: Phase) -> bool:
    """Every order that lasts carries it, whatever its policy, so that its deletion is seen with its last policy
    (docs/decisions/0007-finalizer-for-orders-that-last.md). Without an observation nothing says that it may go."""
    run, order = known.observation, known.order
    if run is None or run.snapshot is None:
        return order.held
    if _is_adopted_elsewhere(known):
        return False
    if order.deleting:
        return order.held  # the API server takes no new one then; `_let_go` takes it off
    lasts = abs(order.age(known.now)) >= YOUNG_SECONDS and order.names_workflow and known.quiet
    return phase not in TERMINAL_PHASES and (order.held or phase is not Phase.RUNNING or lasts)


def _gets_finalizer_later(known: Known, phase: Phase) -> bool:
    run, order = known.observation, known.order
    open_run = run is not None and run.running and run.snapshot is not None
    return open_run and phase is Phase.RUNNING and not (order.held or order.deleting)


def _deletion(known: Known) -> Action:
    """The resource is being deleted: it goes once its workflow has ended, or is told that it goes on alone."""
    order, run = known.order, known.observation
    if known.connection is not None:
        return _show(known, known.connection) if order.held else Wait(AGAIN_SECONDS)
    if run is None or not run.running or known.doubted:
        if not known.asked or known.doubted:
            return Describe()
        if run is None:
            return _deletion_without_run(known)
        if is_abandoned(run):
            return _take_over(known, run)
        return _let_go(known)
    if order.deletion_policy is DeletionPolicy.ORPHAN:
        if run.orphaned:
            return _let_go(known)
        if not known.told:
            return Release(run)
        # The memo alone changes then, which visibility does not bring.
        return _show(known, again=ANSWER_GRACE_SECONDS) if known.asked else Describe()
    if not _is_undoing(run) and not known.told:
        return Cancel(run)
    return _show_deletion(known, run)


def _deletion_without_run(known: Known) -> Action:
    """Temporal has no run of this order. If there was one, only the ledger knows what it had done: a new run asks it,
    and is cancelled then."""
    order = known.order
    had_one = order.names_workflow and not order.ended and order.deletion_policy is DeletionPolicy.CANCEL
    if not had_one:
        return _let_go(known)
    parsed, order_class = order.decoded, known.order_class
    if isinstance(parsed, Problem):
        return _show(known, parsed, again=AGAIN_SECONDS)
    if isinstance(order_class, Problem):
        return _show(known, order_class, again=AGAIN_SECONDS)
    return Start(order_class, parsed)


def _show_deletion(known: Known, run: Observation) -> Action:
    """Whoever waits for the deletion sees how far the undoing is, what holds it up, and which edits are not heard any
    more."""
    parsed, refusals = known.order.decoded, []
    if not isinstance(parsed, Problem) and run.snapshot is not None:
        unheard = plan(parsed, known.order.generation, known.order.uid, run.snapshot)
        refusals = [Refusal(change.group, RefusalType.ORDER_ENDING, "the order is being deleted") for change in unheard]
    return _show(known, _blocked(run), refusals=refusals, again=AGAIN_SECONDS)


def _blocked(run: Observation) -> Problem | None:
    if run.snapshot is not None and run.snapshot.status is OrderStatus.MANUAL_REVIEW:
        return Problem(
            Reason.DELETION_BLOCKED,
            "the deletion waits for the order to be undone, which a person has to make possible: repair the cause and "
            "raise spec.retry by one, or set deletionPolicy Orphan to let the resource go first",
            stalled=True,
        )
    return None


def _is_undoing(run: Observation) -> bool:
    return run.snapshot is not None and run.snapshot.compensation in set(CompensationState)


def _let_go(known: Known) -> Action:
    return SetFinalizer(False) if known.order.held else Wait()


def _after_deletion(known: Known) -> Action:
    """The resource is gone. What it had not been waited for is told to its workflow now."""
    order, run = known.order, known.observation
    if (order.ended and run is None) or known.told:
        return Forget()
    if known.connection is not None:
        return Wait(AGAIN_SECONDS)
    if not known.asked or known.doubted:
        return Describe()
    if run is None or _is_adopted_elsewhere(known):
        return Forget()
    if is_abandoned(run):
        left = seconds_until_takeover(run, known.now)
        if known.takeover_problem is not None:
            return Forget()
        return Wait(left) if left > 0 else TakeOver(run)
    if not run.running or run.orphaned or _is_undoing(run):
        return Forget()
    return Release(run) if order.deletion_policy is DeletionPolicy.ORPHAN else Cancel(run)
