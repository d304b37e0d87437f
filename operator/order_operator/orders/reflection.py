"""From what is known of an order to the status that shows it: a pure function of its arguments."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from temporalio.client import WorkflowExecutionStatus

from order_domain import moments
from order_domain.money import MINOR_DIGITS, format_amount
from order_domain.order import DecisionKind, digest
from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import (
    ApprovalRecord,
    CompensationState,
    DecisionOutcome,
    ErrorRecord,
    OrderSnapshot,
    ShipmentState,
    StepRecord,
    StepState,
    shortened,
)
from order_domain.status import TERMINAL_PHASES, OrderStatus, Phase
from order_operator.cluster.conditions import ConditionSet, ConditionType, Reason, held_up
from order_operator.orders.amendment import FOR_THE_DECIDER, Group, Refusal
from order_operator.orders.edit_plan import asks_for_other_address, asks_for_other_lines, awaits_decision
from order_operator.orders.message import AGAIN, SUBMITTING, Situation, sentence
from order_operator.orders.observation import Observation
from order_operator.orders.pending_work import AT_WORK, PendingWork, Retry
from order_operator.orders.resource import OrderResource
from order_operator.orders.status import OrderResourceStatus
from order_operator.orders.steps import all_steps
from order_operator.problem import Problem
from order_operator.temporal.runs import Run, failing, workflow_ref


def reflect(
    order: OrderResource,
    observation: Observation | None,
    *,
    now: datetime,
    temporal_namespace: str,
    temporal_ui: str = "",
    problem: Problem | None = None,
    refusals: Sequence[Refusal] = (),
    applying: bool = False,
    work: PendingWork | None = None,
    elsewhere: Observation | None = None,
) -> dict[str, Any]:
    """The `.status` that `order` should have, as JSON.

    `problem` is what keeps the order from being submitted or followed, `refusals` are edits that the workflow turned
    down, `applying` tells that an edit has no answer yet, `work` is what Temporal itself says of the work that the run
    waits for. `elsewhere` is the workflow of another installation that keeps the order from being submitted: the
    status names it, so that this is known when that workflow is gone. `now` (UTC) dates the conditions that change.
    """
    if _keeps_what_it_shows(order, observation):
        # There is a phase to keep only if something was shown before, and by this operator.
        told = {"message": shortened(problem.message)} if problem is not None else {}
        heard = _adopt_from_heard(order, observation, problem)
        told |= {"adoptFromHeard": heard} if heard is not None else {}
        return held_up({"phase": Phase.PENDING.value, **order.status, **told}, problem, now)
    snapshot = observation.snapshot if observation and observation.snapshot else OrderSnapshot()
    problem = problem or failing(observation, "order")
    order_status = _order_status(observation, snapshot)
    phase = _phase(observation, snapshot, order_status)
    error = _error(observation, snapshot)
    generation = order.generation
    if applying:
        generation = min(order.generation, int(order.status.get("observedGeneration") or 0))
    conditions = ConditionSet(order.status.get("conditions") or [], generation, now)
    retries = work.retries if work is not None else ()
    steps = all_steps(observation.pipeline if observation else (), snapshot.steps, phase, retries)
    retry = _retry(steps, retries) if phase in AT_WORK else None
    _set_kstatus(conditions, observation, phase, problem, error, retry)
    if observation is not None:
        _set_milestones(conditions, snapshot)
        _set_spec_applied(conditions, order, snapshot, phase, refusals, applying=applying)
    _set_end(conditions, phase, error)
    followed, shown = observation is not None, observation or elsewhere
    status = OrderResourceStatus(
        observed_generation=generation,
        phase=phase,
        order_status=order_status if followed else None,
        progress=snapshot.progress if followed else None,
        message=sentence(
            Situation(
                status=order_status,
                phase=phase,
                snapshot=snapshot,
                currency=str(order.spec.get("currency")),
                problem=problem,
                error=error,
                retry=retry,
            )
        )
        if followed or problem
        else SUBMITTING,
        current_step=snapshot.current_step,
        class_name=snapshot.class_name,
        class_generation=snapshot.class_generation or None,
        total=_total(order, snapshot) if followed else None,
        total_minor=snapshot.total_minor if snapshot.class_name else None,
        approval=snapshot.approval if snapshot.approval != ApprovalRecord() else None,
        refused_decision=_refused_decision(order, snapshot, refusals),
        adopt_from_heard=_adopt_from_heard(order, observation, problem),
        pending_action=snapshot.pending_action,
        steps=steps,
        items=snapshot.items,
        enrichment=snapshot.enrichment,
        reservation_id=snapshot.reservation_id,
        payment=snapshot.payment,
        shipments=snapshot.shipments,
        shipment_count=snapshot.shipment_count or None,
        shipping_address=snapshot.shipping_address,
        workflow=workflow_ref(shown, temporal_namespace, temporal_ui, shown.cluster if shown else None),
        start_time=_start_time(observation, problem),
        completion_time=observation.close_time if observation else None,
        last_error=error,
        last_refusal=snapshot.last_refusal,
    )
    kept = {"workflow": order.status["workflow"]} if shown is None and order.only_refers else {}
    return {**kept, **status.model_dump(mode="json", exclude_defaults=True), "conditions": conditions.build()}


def _refused_decision(order: OrderResource, snapshot: OrderSnapshot, refusals: Sequence[Refusal]) -> str | None:
    """Shown as long as the decision stands in the spec, also while something else is told of it."""
    parsed = order.decoded
    if isinstance(parsed, Problem) or parsed.spec.approval is None or not awaits_decision(parsed.spec, snapshot):
        return None
    decision = digest(parsed.spec.approval)
    now = any(refusal.group is Group.APPROVAL and refusal.reason in FOR_THE_DECIDER for refusal in refusals)
    return decision if now or order.status.get("refusedDecision") == decision else None


def _adopt_from_heard(order: OrderResource, observation: Observation | None, problem: Problem | None) -> str | None:
    """Kept while another installation has the order, and until what the spec says since then was done: an order that is
    to come back must not lose that word while Temporal is away."""
    heard: str | None = order.status.get("adoptFromHeard")
    if problem is not None and problem.reason in _OF_ANOTHER_INSTALLATION:
        stands = observation is not None and order.is_taken_back_from(observation.cluster)
        return heard if stands else order.adopt_from
    return heard if observation is None or observation.key.uid != order.uid else None


_OF_ANOTHER_INSTALLATION = (Reason.ADOPTED_ELSEWHERE, Reason.RESTORED_ELSEWHERE)


def _start_time(observation: Observation | None, problem: Problem | None) -> datetime | None:
    """The answer to a start does not tell it. Of a run that has published nothing yet it comes with other news: a write
    for it alone would be every fifth write of a busy operator."""
    if observation is None or (observation.running and observation.snapshot is None and problem is None):
        return None
    return observation.start_time


def shows_other_run(order: OrderResource, run: Run) -> bool:
    """Whether the status tells of an earlier run than this one."""
    shown = order.status.get("workflow") or {}
    return bool(shown) and not order.only_refers and shown.get("runID") != run.run_id


def _keeps_what_it_shows(order: OrderResource, observation: Observation | None) -> bool:
    """A status without knowledge never replaces one that tells of a workflow."""
    if observation is None:
        return order.names_workflow and not order.only_refers
    return observation.unreadable or (observation.snapshot is None and shows_other_run(order, observation))


def _order_status(observation: Observation | None, snapshot: OrderSnapshot) -> OrderStatus:
    completed = observation is not None and observation.status is WorkflowExecutionStatus.COMPLETED
    # A run that stopped in another way has not ended its order: that is still where it was.
    return OrderStatus.ORDER_COMPLETED if completed and not snapshot.status.terminal else snapshot.status


def _phase(observation: Observation | None, snapshot: OrderSnapshot, order_status: OrderStatus) -> Phase:
    if observation is None:
        return Phase.PENDING
    phase = order_status.phase
    held = snapshot.suspended and phase in {Phase.RUNNING, Phase.WAITING}
    return Phase.SUSPENDED if held else phase


def _error(observation: Observation | None, snapshot: OrderSnapshot) -> ErrorRecord | None:
    if observation is None or observation.running or snapshot.status.terminal:
        return snapshot.last_error
    if observation.status is WorkflowExecutionStatus.COMPLETED:
        return None
    stopped = f"the workflow ended as {observation.status.name.title()} while at '{snapshot.status}'"
    return ErrorRecord(type=Reason.WORKFLOW_TERMINATED, message=f"{stopped}: its next run brings the order to an end")


def _total(order: OrderResource, snapshot: OrderSnapshot) -> str | None:
    currency = order.spec.get("currency")
    known = snapshot.class_name is not None and isinstance(currency, str) and currency in MINOR_DIGITS
    return format_amount(snapshot.total_minor, str(currency)) if known else None


def _set_kstatus(
    conditions: ConditionSet,
    observation: Observation | None,
    phase: Phase,
    problem: Problem | None,
    error: ErrorRecord | None,
    retry: Retry | None,
) -> None:
    """Accepted, Ready, Reconciling and Stalled, in a reading like a Job's: an accepted order that makes progress is
    Ready, so that a release which contains orders does not wait for people to approve them."""
    if observation is None:
        reason = problem.reason if problem else Reason.SUBMITTING
        message = problem.message if problem else ""
        stalled = problem is not None and problem.stalled
        conditions.set(ConditionType.ACCEPTED, False if stalled else None, reason, message)
        conditions.set(ConditionType.READY, False if stalled else None, reason, message)
        conditions.set(ConditionType.RECONCILING, not stalled, reason, message)
        conditions.set(ConditionType.STALLED, stalled, reason, message)
        return
    conditions.set(ConditionType.ACCEPTED, True, Reason.SUBMITTED)
    if problem is not None:
        reason, message = problem.reason, problem.message
    elif error is not None and phase in {Phase.FAILED, Phase.MANUAL_REVIEW}:
        reason, message = error.type, error.message
    elif phase in TERMINAL_PHASES:
        reason, message = phase, error.message if error else ""
    elif retry is not None:
        reason, message = Reason.STEP_RETRYING, retry.error
    else:
        reason, message = _PROGRESS_REASONS.get(phase, Reason.PROGRESSING), ""
    stuck = phase in _NOT_READY or (problem is not None and problem.stalled)
    held = not stuck and (problem is not None or retry is not None)
    conditions.set(ConditionType.READY, None if held else not stuck, reason, message)
    conditions.set(ConditionType.RECONCILING, held, reason, message)
    conditions.set(ConditionType.STALLED, stuck, reason, message)


_NOT_READY = {Phase.FAILED, Phase.INVALID, Phase.DUPLICATE, Phase.MANUAL_REVIEW}


def _retry(steps: Sequence[StepRecord], retries: Sequence[Retry]) -> Retry | None:
    """What is being tried again: as Temporal says, or as the workflow itself does."""
    if retries:
        return max(retries, key=lambda retry: retry.attempts)
    for step in steps:
        if step.state is StepState.RUNNING and step.next_attempt_at is not None:
            return Retry(step.name, step.name, step.attempts, step.last_error or "", step.next_attempt_at)
    return None


_PROGRESS_REASONS = {Phase.WAITING: Reason.WAITING, Phase.SUSPENDED: Reason.SUSPENDED}


def _set_milestones(conditions: ConditionSet, snapshot: OrderSnapshot) -> None:
    """What has begun; a step that is still to come has no condition, which `kubectl wait` awaits as well."""
    states = {record.name: record.state for record in snapshot.steps}
    if StepName.APPROVAL in states or snapshot.approval.decision is not None:
        _set_approved(conditions, snapshot.approval)
    for step, kind in _MILESTONES.items():
        if step not in states:
            continue
        holds, reason = _STEP_CONDITIONS.get(states[step], (False, Reason.PENDING))
        if not holds and kind in _in_force(snapshot):
            holds, reason = True, Reason.NOT_UNDONE
        if kind is ConditionType.NOTIFIED and snapshot.notified is False:
            holds, reason = False, Reason.FAILED
        conditions.set(kind, holds, reason)
    if snapshot.compensation is not None:
        done = snapshot.compensation is CompensationState.DONE
        failed = snapshot.compensation is CompensationState.FAILED
        conditions.set(ConditionType.COMPENSATED, done, Reason.DONE if done else Reason.PENDING)
        message = snapshot.last_error.message if failed and snapshot.last_error else ""
        reason = Reason.MANUAL_REVIEW if failed else Reason.DONE if done else Reason.PENDING
        conditions.set(ConditionType.COMPENSATION_FAILED, failed, reason, message)


def _in_force(snapshot: OrderSnapshot) -> set[ConditionType]:
    """What the records say of the world, whatever became of the step: an undo that fails has not happened."""
    payment = snapshot.payment
    paid = payment is not None and payment.captured_minor > payment.refunded_minor
    sent = any(parcel.state is ShipmentState.DISPATCHED for parcel in snapshot.shipments)
    states = {step.name: step.state for step in snapshot.steps}
    held = states.get(StepName.RESERVE_STOCK) is StepState.COMPENSATION_FAILED
    facts = {ConditionType.CHARGED: paid, ConditionType.SHIPPED: sent, ConditionType.RESERVED: held}
    return {kind for kind, holds in facts.items() if holds}


_MILESTONES = {
    StepName.RESERVE_STOCK: ConditionType.RESERVED,
    StepName.CHARGE_PAYMENT: ConditionType.CHARGED,
    StepName.SHIP: ConditionType.SHIPPED,
    StepName.NOTIFY: ConditionType.NOTIFIED,
}

_STEP_CONDITIONS: dict[StepState, tuple[bool, Reason]] = {
    StepState.SUCCEEDED: (True, Reason.DONE),
    StepState.SKIPPED: (False, Reason.NOT_REQUIRED),
    StepState.FAILED: (False, Reason.FAILED),
    StepState.COMPENSATED: (False, Reason.UNDONE),
}


def _set_approved(conditions: ConditionSet, approval: ApprovalRecord) -> None:
    if not approval.required:
        conditions.set(ConditionType.APPROVED, True, Reason.NOT_REQUIRED)
    elif approval.decision is None:
        conditions.set(ConditionType.APPROVED, None, Reason.PENDING)
    else:
        by = f"by {approval.by}" if approval.by else ""
        conditions.set(ConditionType.APPROVED, approval.decision is DecisionOutcome.APPROVED, approval.decision, by)


def _set_spec_applied(
    conditions: ConditionSet,
    order: OrderResource,
    snapshot: OrderSnapshot,
    phase: Phase,
    refusals: Sequence[Refusal],
    *,
    applying: bool,
) -> None:
    if refusals:
        message = "; ".join(f"spec.{refusal.group}: {refusal.message}" for refusal in refusals)
        conditions.set(ConditionType.SPEC_APPLIED, False, refusals[0].reason, message)
    elif applying:
        conditions.set(ConditionType.SPEC_APPLIED, None, Reason.APPLYING)
    elif phase in TERMINAL_PHASES and (fields := _edited_in_vain(order, snapshot)):
        conditions.set(ConditionType.SPEC_APPLIED, False, *_too_late(fields, snapshot))
    else:
        conditions.set(ConditionType.SPEC_APPLIED, True, Reason.APPLIED)


def _edited_in_vain(order: OrderResource, snapshot: OrderSnapshot) -> list[Group]:
    """What the spec of an order that has ended asks for, and did not get. An approval that nobody needed is none."""
    parsed = order.decoded
    if isinstance(parsed, Problem):
        return []
    spec, completed = parsed.spec, snapshot.status is OrderStatus.ORDER_COMPLETED
    decision = spec.approval.decision if spec.approval else None
    counts = snapshot.approval.required or decision is DecisionKind.REJECTED
    in_vain = {
        Group.APPROVAL: decision is not None and counts and decision.value != snapshot.approval.decision,
        Group.CANCELLATION: spec.cancellation is not None
        and completed
        and _kept_after_all(snapshot.last_error) is None,
        Group.ADDRESS: asks_for_other_address(parsed, snapshot),
        Group.LINES: asks_for_other_lines(parsed, snapshot),
        Group.SUSPEND: spec.suspend and not snapshot.suspended,
    }
    return [group for group, holds in in_vain.items() if holds]


def _too_late(fields: Sequence[Group], snapshot: OrderSnapshot) -> tuple[Reason, str]:
    deadline = snapshot.approval.deadline
    if Group.APPROVAL in fields and snapshot.approval.decision is DecisionOutcome.EXPIRED and deadline is not None:
        message = f"no decision was heard until {moments.minute(deadline)}, and the order expired: {AGAIN}"
        return Reason.TOO_LATE, message
    names = " and ".join(f"spec.{field}" for field in fields)
    return Reason.ORDER_FINISHED, f"the order ended before {names} had an effect"


def _set_end(conditions: ConditionSet, phase: Phase, error: ErrorRecord | None) -> None:
    ended, completed = phase in TERMINAL_PHASES, phase is Phase.COMPLETED
    kept = _kept_after_all(error) if completed else None
    reason = kept or (phase if ended else Reason.NOT_FINISHED)
    message = error.message if error and ended else ""
    conditions.set(ConditionType.FINISHED, ended, reason, message)
    conditions.set(ConditionType.COMPLETE, completed, reason, message)


def _kept_after_all(error: ErrorRecord | None) -> str | None:
    """Why an order that was to be undone has completed: parcels that could not be called back are sold."""
    kept = {EndType.CANCELLED_IN_PART, EndType.ALREADY_SHIPPED}
    return error.type if error is not None and error.type in kept else None
