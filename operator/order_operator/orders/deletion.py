"""What to do next for an order whose resource is being deleted, or is gone: pure, a part of `decision.py`.

The resource goes once its workflow has undone what it did, or says that it goes on alone. A finalizer comes off only
after Temporal itself has answered. tests/unit/operator/test_deletion.py is the table of cases.
"""

from order_domain.order import DeletionPolicy
from order_domain.refusals import RefusalType
from order_domain.status import OrderStatus
from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import (
    Action,
    Cancel,
    Describe,
    DescribeOther,
    Forget,
    Release,
    Send,
    SetFinalizer,
    Start,
    TakeOver,
    Wait,
)
from order_operator.orders.adopting import adopt, has_forgotten_adoption
from order_operator.orders.adoption import obstacle
from order_operator.orders.amendment import Amendment, Group, Refusal
from order_operator.orders.display import AGAIN_SECONDS, show
from order_operator.orders.edit_plan import plan
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource
from order_operator.orders.stopped_run import next_run
from order_operator.orders.takeover import is_abandoned, may_be_abandoned, seconds_until_takeover
from order_operator.problem import Problem
from order_workflows.contract import workflow_id

REFUSED_SECONDS = 60.0
"""Before a start that Temporal has refused for its content is tried again."""
RELEASED_SECONDS = 2.0
"""Before Temporal is asked again whether a run says that it goes on alone: only its memo changes then, and visibility
does not bring that."""


def deletion(known: Known) -> Action:
    """The resource is being deleted: it goes once its workflow has ended, or is told that it goes on alone."""
    order, run = known.order, known.observation
    if known.adopted_elsewhere:
        return _let_go(known)
    if known.connection is not None:
        return show(known, known.connection) if order.held else Wait(AGAIN_SECONDS)
    if run is None or not run.running or known.doubted:
        if not known.asked or known.doubted:
            return Describe()
        if run is None:
            return _deletion_without_run(known)
        if is_abandoned(run):
            return next_run(known, run)
        if may_be_abandoned(run) and order.deletion_policy is DeletionPolicy.CANCEL:
            return show(known, _not_known_to_have_ended(run), again=REFUSED_SECONDS)
        return _let_go(known)
    if order.deletion_policy is DeletionPolicy.ORPHAN:
        return _release(known, run)
    if not run.is_undoing and not known.told:
        return Cancel(run)
    return _try_again(known, run) or _show_deletion(known, run)


def _try_again(known: Known, run: Observation) -> Action | None:
    """Of all edits one is still heard: what waits for a repair is tried again when a person says so."""
    wanted = [change for change in _unheard(known, run) if change.group is Group.RETRY]
    due = [change for change in wanted if known.edits.is_due(change, known.clock)]
    return Send(run, due, wanted) if due else None


def _release(known: Known, run: Observation) -> Action:
    """Whoever deleted the resource wants the order to go on."""
    if run.orphaned:
        return _let_go(known)
    if not known.told:
        return Release(run)
    return show(known, again=RELEASED_SECONDS) if known.asked else Describe()


def _deletion_without_run(known: Known) -> Action:
    """Temporal has no run of this order. If there was one, only the ledger knows what it had done: a new run asks it,
    and undoes the order, or goes on alone."""
    order = known.order
    if not _had_run(order) or order.shows_as_adopted:
        return _let_go(known)
    owner = _carried_elsewhere(known)
    if owner is not None:
        return _let_go_of_others(known, owner)
    open_run = _deletion_of_an_adopter(known)
    if open_run is not None:
        return open_run
    elsewhere = order.elsewhere(known.temporal_namespace)
    if elsewhere is not None:
        return show(known, elsewhere) if order.deletion_policy is DeletionPolicy.CANCEL else _let_go(known)
    parsed, order_class = order.decoded, known.order_class
    if isinstance(parsed, Problem):
        return show(known, parsed, again=AGAIN_SECONDS)
    if isinstance(order_class, Problem):
        return show(known, order_class, again=AGAIN_SECONDS)
    if known.refused is not None:
        return show(known, known.refused, again=REFUSED_SECONDS)
    return Start(order_class, parsed, to_undo=order.deletion_policy is DeletionPolicy.CANCEL)


def _deletion_of_an_adopter(known: Known) -> Action | None:
    """The open workflow that the order had adopted does not say that it is this order's: it has been taken over since,
    and the deletion concerns nothing of it, or it has forgotten the adoption, and has to hear of the deletion. None if
    there is no such workflow, or the status does not show it as this order's."""
    order, other, parsed = known.order, known.predecessor, known.order.decoded
    adopted = workflow_id(*order.named_workflow) if order.named_workflow is not None else None
    if adopted is None or adopted not in known.others:
        return None
    if adopted not in known.asked_others:
        return DescribeOther(adopted)
    if other is None or other.run.workflow_id != adopted or isinstance(parsed, Problem):
        return None
    run, forgotten = other.run, has_forgotten_adoption(known, other.run)
    if is_abandoned(run) and forgotten:
        return next_run(known, run)
    if not run.running:
        return None
    if run.tells_of_adoption:
        return _let_go(known)
    if not (forgotten or order.shows_as_taken(adopted, known.cluster)):
        return None
    if not forgotten and order.deletion_policy is DeletionPolicy.ORPHAN:
        return _let_go(known)
    problem = obstacle(other, parsed, known.cluster) or (None if forgotten else _owner_unknown(run))
    return adopt(known, run) if problem is None else show(known, problem, again=AGAIN_SECONDS)


def _owner_unknown(run: Observation) -> Problem:
    why = (
        f"the deletion waits: workflow {run.workflow_id} is of installation {run.cluster}, and a worker of an earlier "
        "release does not tell whether that has taken it back, or only forgotten this order. Cancel that workflow if "
        "the order is to be undone; then, or if it is not, set deletionPolicy Orphan"
    )
    return Problem(Reason.RESTORED_ELSEWHERE, why, stalled=True)


def _had_run(order: OrderResource) -> bool:
    """Whether a workflow may have been started for the order, which has not shown an end: its status names one, or it
    carries the finalizer. The latter alone is enough to undo it, and not enough to carry it on."""
    to_undo = order.deletion_policy is DeletionPolicy.CANCEL
    return (order.names_workflow or (order.held and to_undo)) and not order.ended


def _carried_elsewhere(known: Known) -> str | None:
    """The installation that had the order's workflow, where that is another one: from here nothing can be asked of it
    or told to it. None where the spec says that this is an order of its own."""
    order = known.order
    return order.carried_elsewhere(known.cluster) if order.adopt_from != known.cluster else None


def _let_go_of_others(known: Known, owner: str) -> Action:
    """The workflow that the status names is not seen to be this order's. If Temporal has it, of another order of the
    installation `owner`, the deletion concerns nothing of it. If not, it may have been this order's before the
    installation had another identity, and have charged it: who deletes it has to know."""
    order, other = known.order, known.predecessor
    named = workflow_id(*order.named_workflow) if order.named_workflow is not None else None
    if named is None or not order.held or order.deletion_policy is DeletionPolicy.ORPHAN:  # None: it was taken over
        return _let_go(known)
    if other is None and named in known.others:
        return DescribeOther(named)
    if other is not None and other.run.workflow_id == named and not other.is_of(known.cluster):
        return _let_go(known)
    why = (
        f"the deletion waits: this order was carried by another installation ({owner}), and Temporal does not have its "
        "workflow, so nothing can be undone from here. See in the ledger what was charged, and give it back by hand; "
        f"then set deletionPolicy Orphan. If it was never an order of this installation, set spec.adoptFrom to "
        f"{known.cluster!r}"
    )
    return show(known, Problem(Reason.RESTORED_ELSEWHERE, why, stalled=True))


def _show_deletion(known: Known, run: Observation, *, again: float | None = AGAIN_SECONDS) -> Action:
    """Whoever waits for the deletion sees how far the undoing is, what holds it up, and which edits are not heard any
    more."""
    why = "the order is being deleted"
    refusals = [
        Refusal(change.group, RefusalType.ORDER_ENDING, why)
        for change in _unheard(known, run)
        if change.group is not Group.RETRY
    ]
    return show(known, _blocked(run), refusals=refusals, again=again)


def _unheard(known: Known, run: Observation) -> list[Amendment]:
    order, parsed = known.order, known.order.decoded
    if isinstance(parsed, Problem) or run.snapshot is None:
        return []
    return plan(parsed, order.generation, order.uid, run.snapshot)


def _not_known_to_have_ended(run: Observation) -> Problem:
    """Whether the run has undone what it did stands in what cannot be read."""
    why = (
        f"the deletion waits: workflow {run.workflow_id} stopped, and this operator cannot read whether it had ended "
        f"the order: {run.unreadable_because or 'a newer release wrote it'}. Make it readable, or set deletionPolicy "
        "Orphan to let the resource go as it is"
    )
    reason = Reason.ENCRYPTION_KEY_MISSING if run.lacks_key else Reason.SNAPSHOT_UNREADABLE
    return Problem(reason, why, stalled=True)


def _blocked(run: Observation) -> Problem | None:
    if run.snapshot is not None and run.snapshot.status is OrderStatus.MANUAL_REVIEW:
        return Problem(
            Reason.DELETION_BLOCKED,
            "the deletion waits for the order to be undone, which a person has to make possible: repair the cause and "
            "raise spec.retry by one, or set deletionPolicy Orphan to let the resource go first",
            stalled=True,
        )
    return None


def _let_go(known: Known) -> Action:
    """Somebody else's finalizer may still hold the resource: how its order ended is shown then."""
    order, run = known.order, known.observation
    if order.held:
        return SetFinalizer(False)
    if not order.finalizers or run is None or known.adopted_elsewhere:
        return Wait()
    return _show_deletion(known, run, again=None)


def after_deletion(known: Known) -> Action:
    """The resource is gone. What it had not been waited for is told to its workflow now."""
    order, run = known.order, known.observation
    if (order.ended and run is None) or known.told:
        return Forget()
    if known.connection is not None:
        return Wait(AGAIN_SECONDS)
    if not known.asked or known.doubted:
        return Describe()
    if known.adopted_elsewhere:
        return Forget()
    if run is None:
        return _start_after_deletion(known)
    if is_abandoned(run):
        left = seconds_until_takeover(run, known.now)
        if known.takeover_problem is not None:
            if known.takeover_problem.reason != Reason.ENCRYPTION_KEY_MISSING:
                return Forget()
            left = max(left, known.takeover_again_at - known.clock)
        return Wait(left) if left > 0 else TakeOver(run)
    if not run.running or run.orphaned or run.is_undoing:
        return Forget()
    return Release(run) if order.deletion_policy is DeletionPolicy.ORPHAN else Cancel(run)


def _start_after_deletion(known: Known) -> Action:
    """The same where the resource did not wait: nobody but a new run can tell what the lost one had done."""
    order, parsed, order_class = known.order, known.order.decoded, known.order_class
    if not order.names_workflow or order.ended or isinstance(parsed, Problem) or isinstance(order_class, Problem):
        return Forget()
    if order.shows_as_adopted or _carried_elsewhere(known) is not None:
        return Forget()
    if order.elsewhere(known.temporal_namespace) is not None:
        return Forget()  # from here nothing can be told to that workflow
    if known.refused is not None:
        return Wait(REFUSED_SECONDS)
    return Start(order_class, parsed, to_undo=order.deletion_policy is DeletionPolicy.CANCEL)
