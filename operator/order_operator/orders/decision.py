"""What to do next for one order: a pure function from what is known to one action.

The reconciler performs the action, puts the answer into what is known, and asks again until the answer is to wait.
tests/unit/operator/test_decision.py is the table of cases, and so the specification of the operator, with test_edits.py
and test_proven_decisions.py for what is sent and test_display.py for what is shown. What happens to an order that is
deleted is in `deletion.py`.

Absence proves nothing. That no run was seen is no reason to start one, to take a finalizer off or to replace a status:
each of these needs an answer of whoever would know.
"""

from order_domain.order import Proof
from order_operator.cluster.conditions import Reason
from order_operator.cluster.policies import NO_EVIDENCE
from order_operator.cluster.policy_watch import LOOK_SECONDS
from order_operator.orders.actions import (
    Action,
    Confirm,
    Describe,
    DescribeOther,
    Finish,
    Send,
    Start,
    Wait,
    WriteStatus,
)
from order_operator.orders.adopting import adopt, has_forgotten_adoption
from order_operator.orders.adoption import (
    Predecessor,
    ending,
    is_another_order,
    obstacle,
    restored_elsewhere,
)
from order_operator.orders.amendment import Group
from order_operator.orders.deletion import REFUSED_SECONDS, after_deletion, deletion
from order_operator.orders.display import AGAIN_SECONDS, PAUSED, seconds_until_progress_is_due, show
from order_operator.orders.edit_plan import awaits_decision, plan
from order_operator.orders.edit_refusals import deferred_approval, drifted, refused_before, unproven_approval
from order_operator.orders.edit_state import ANSWER_GRACE_SECONDS, sent_again
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.reflection import shows_other_run
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_operator.orders.stopped_run import next_run
from order_operator.orders.takeover import is_abandoned
from order_operator.problem import Problem
from order_operator.temporal.connection import NOT_ANSWERED
from order_workflows.contract import workflow_id

CONFIRMED_AGE_SECONDS = 5.0
"""An order older than this may be gone by now, though the watch still delivers it: an operator that was frozen reads
its creation before its deletion. The API server is asked before such an order is started."""
WORD_SECONDS = 60.0
"""Before the workflow of another installation is asked about again, which an order waits for a word about. A thousand
may be restored at once, and a person is seldom quicker. What does not run is left to the next full scan."""
LOOK_GRACE_SECONDS = 1.0
"""Before a decision is looked at again while the first look at the policies of its namespace is under way."""


def next_action(known: Known) -> Action:
    """The one thing to do now."""
    if known.connection is NOT_ANSWERED:
        return Wait()  # the first answer, whatever it is, lets every order be looked at
    if known.gone:
        return after_deletion(known)
    if known.order.deleting:
        return deletion(known)
    if known.doubted and known.connection is None:
        return Describe()
    if known.observation is None:
        return _without_run(known)
    return _with_run(known, known.observation)


def _without_run(known: Known) -> Action:
    order = known.order
    if order.ended and (known.asked or (order.observed and not order.held)):
        # Not started again: what was charged is charged. Only an edit that came after the end is acknowledged.
        status = {**order.status, "observedGeneration": order.generation}
        return Finish() if order.observed else WriteStatus(status)
    if known.connection is not None:
        # An end that a status shows is left as it is, and so is the finalizer, until Temporal itself has answered.
        return Wait(AGAIN_SECONDS) if order.ended and order.observed else show(known, known.connection)
    if not known.synced:
        return Wait()  # the full scan may be about to bring the run, and looks at this order again when it is through
    if order.ended:
        return Describe()
    return _start(known)


def _start(known: Known) -> Action:
    """There is no run as far as is known; make sure of that, and start one. Whether this operator may start orders now,
    and by which class, matters only then: what is under way already goes on."""
    order, parsed = known.order, known.order.decoded
    if isinstance(parsed, Problem):
        return show(known, parsed)
    if (order.names_workflow or order.held) and not known.asked and not _waits_for_a_word(known, parsed):
        return _ask(known)
    elsewhere = order.elsewhere(known.temporal_namespace)
    if elsewhere is not None:
        return show(known, elsewhere)  # another setting, or another status, brings the order here again
    unasked = [other for other in known.others if other not in known.asked_others]
    if unasked:
        return DescribeOther(unasked[0])
    if known.predecessor is not None:
        return _after(known, known.predecessor, parsed)
    return _begin_or_wait_for_a_word(known, parsed)


def _ask(known: Known) -> Action:
    """About the order's own workflow. While that which the status names, of another installation, is under way, nothing
    is begun beside it: it is asked about first, and mostly alone."""
    named = known.order.named_workflow
    theirs = named is not None and known.order.shows_workflow_of(known.cluster) is not None
    if named is None or not theirs or known.predecessor is not None or workflow_id(*named) not in known.others:
        return Describe()
    return DescribeOther(workflow_id(*named))


def _waits_for_a_word(known: Known, parsed: ParsedSpec) -> bool:
    """Whether Temporal's answer about the other workflow is enough to go on waiting."""
    other = known.predecessor
    if other is None or is_another_order(other, parsed, known.cluster):
        return False
    problem = obstacle(other, parsed, known.cluster)
    return problem is not None and problem.reason is Reason.RESTORED_ELSEWHERE


def _begin_or_wait_for_a_word(known: Known, parsed: ParsedSpec) -> Action:
    """No open workflow is this order's. The one that its status names may have been, unless that is one of these."""
    named = known.order.named_workflow
    elsewhere = restored_elsewhere(known.order, parsed, known.cluster)
    if elsewhere is None or (named is not None and workflow_id(*named) in known.others):
        return _begin(known)
    return show(known, elsewhere)


def _begin(known: Known) -> Action:
    """Nothing of the order is under way."""
    order, parsed = known.order, known.order.parsed
    if isinstance(parsed, Problem):
        return show(known, parsed)
    if isinstance(known.order_class, Problem):
        return show(known, known.order_class)
    if known.paused and _is_new(order, known.cluster):
        return show(known, PAUSED)
    if known.refused is not None:
        return show(known, known.refused, again=REFUSED_SECONDS)
    if not known.exists and abs(order.age(known.now)) > CONFIRMED_AGE_SECONDS:
        return Confirm()
    return Start(known.order_class, parsed)


def _is_new(order: OrderResource, cluster: str) -> bool:
    """Whether no run of the order was ever under way here: the status may name that of another installation."""
    if order.named_workflow is None:
        return not order.names_workflow
    return order.begins_anew(cluster) or order.shows_workflow_of(cluster) is not None


def _after(known: Known, predecessor: Predecessor, parsed: ParsedSpec) -> Action:
    """An order of the same name is under way under another uid, and its resource is gone: the API server has this one
    under the name."""
    order = known.order
    if is_another_order(predecessor, parsed, known.cluster):
        problem = ending(predecessor) if predecessor.is_of(known.cluster) else None
        return show(known, problem, again=AGAIN_SECONDS) if problem else _begin_or_wait_for_a_word(known, parsed)
    run = predecessor.run
    problem = obstacle(predecessor, parsed, known.cluster)
    if problem is not None and problem.reason is Reason.RESTORED_ELSEWHERE:
        return show(known, problem, again=WORD_SECONDS if run.running else None)
    taken = run.cluster != known.cluster and order.shows_as_taken(run.workflow_id, known.cluster)
    if taken and not order.names_another_since and not (run.unreadable or has_forgotten_adoption(known, run)):
        return show(known, _adopted_elsewhere(known, run), again=AGAIN_SECONDS)
    if is_abandoned(run) and run.cluster == parsed.spec.adopt_from and not predecessor.is_of(known.cluster):
        return next_run(known, run) if known.exists else Confirm()  # where it came from, nobody may be left to do so
    if problem is not None:
        return show(known, problem, again=AGAIN_SECONDS)
    return adopt(known, run)


def _with_run(known: Known, run: Observation) -> Action:
    order = known.order
    if known.adopted_elsewhere:
        return _with_run_of_another(known, run)
    if is_abandoned(run):
        return next_run(known, run)
    if run.unreadable:
        return show(known, _unreadable(run))
    if _shows_more_than(order, run) and not known.asked and known.connection is None:
        return Describe()
    parsed = order.decoded
    if isinstance(parsed, Problem):
        return show(known, parsed)
    if run.input_hash is not None and run.input_hash != parsed.input_hash:
        why = "the workflow of this order was started with another spec; it is not touched"
        return show(known, Problem(Reason.WORKFLOW_MISMATCH, why, stalled=True))
    early = seconds_until_progress_is_due(known, run)
    if early > 0:
        return Wait(early)
    if run.snapshot is None:
        return show(known, _asking_ledger(known, run))
    if not run.running:
        return show(known)
    return _amend(known, run, parsed)


def _amend(known: Known, run: Observation, parsed: ParsedSpec) -> Action:
    order, snapshot = known.order, run.snapshot
    assert snapshot is not None
    evidence = known.evidence or NO_EVIDENCE
    wanted = plan(parsed, order.generation, order.uid, snapshot, evidence.proof, known.edits.sent_at)
    if wanted and (known.connection is not None or run.task_problems):
        return show(known, known.connection, applying=True)
    wanted = [known.edits.as_sent(change) for change in wanted]
    in_vain = [change for change in wanted if known.edits.is_repeated_in_vain(change, known.since)]
    if in_vain and not known.asked:
        return Describe()  # a row of visibility may be older than the edit
    if in_vain and not known.exists:
        return Confirm()  # and what the watch has brought older than what was asked for since
    wanted = [sent_again(change, snapshot) if change in in_vain else change for change in wanted]
    undecided = awaits_decision(parsed.spec, snapshot)
    stays_refused = refused_before(order, parsed, known.edits) if undecided else None
    if stays_refused is not None:
        wanted = [change for change in wanted if change.group is not Group.APPROVAL]
    unproven = known.require_proof and undecided and evidence.proof is not Proof.POLICY
    if undecided and (unproven or known.evidence is None):
        wanted = [change for change in wanted if change.group is not Group.APPROVAL]
        if known.evidence is None and not wanted:
            return Wait(LOOK_GRACE_SECONDS)
    answered = known.edits.refused
    unsent = [change for change in wanted if known.edits.is_due(change, known.clock)]
    if unsent:
        return Send(run, unsent, wanted)
    sent_at = [known.edits.sent_at[each.update_id] for each in wanted if each.update_id in known.edits.sent_at]
    waited = known.clock - min(sent_at) if sent_at else None
    if waited is not None and waited < ANSWER_GRACE_SECONDS:
        return Wait(ANSWER_GRACE_SECONDS - waited)
    refusals = [answered[change.update_id] for change in wanted if change.update_id in answered]
    refusals += [stays_refused] if stays_refused is not None else []
    refusals += drifted(parsed, snapshot)
    refusals = [*deferred_approval(parsed, snapshot, refusals), *refusals]
    asked_again = any(refusal.again_at is not None for refusal in refusals)
    again = AGAIN_SECONDS if asked_again else None
    if unproven:
        refusals, again = [unproven_approval(parsed, evidence.why), *refusals], again or LOOK_SECONDS
    return show(known, refusals=refusals, applying=waited is not None, again=again)


def _asking_ledger(known: Known, run: Observation) -> Problem | None:
    """A run that follows one whose history is lost."""
    if not shows_other_run(known.order, run) or known.order.begins_anew(known.cluster):
        return None
    why = "Temporal has lost this order's history: a new run asks the ledger what was done, as soon as a worker answers"
    return Problem(Reason.ASKING_LEDGER, why)


def _with_run_of_another(known: Known, run: Observation) -> Action:
    order = known.order
    taken_back = run.running and run.cluster != known.cluster and order.is_taken_back_from(run.cluster)
    if not taken_back or known.connection is not None or isinstance(order.decoded, Problem):
        return show(known, _adopted_elsewhere(known, run), applying=taken_back)
    return adopt(known, run, applying=True)


def _adopted_elsewhere(known: Known, run: Observation) -> Problem:
    back = ""
    if run.running and run.cluster is not None and run.cluster != known.cluster:
        back = f"; to take it back, set spec.adoptFrom to {run.cluster!r}, and take it off first if it is that already"
    why = (
        f"a resource restored from a backup has taken over this order (uid {run.key.uid}, installation "
        f"{run.cluster}): this one shows it no further, and can be deleted without harm{back}"
    )
    return Problem(Reason.ADOPTED_ELSEWHERE, why, stalled=True)


def _unreadable(run: Observation) -> Problem:
    reason = Reason.ENCRYPTION_KEY_MISSING if run.lacks_key else Reason.SNAPSHOT_UNREADABLE
    why = run.unreadable_because or "it was written by a newer release"
    return Problem(
        reason,
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
