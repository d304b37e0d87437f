"""From what is known of an order to the status that shows it: a pure function of its arguments."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from temporalio.client import WorkflowExecutionStatus

from order_domain.money import MINOR_DIGITS, format_amount
from order_domain.pipeline import StepName
from order_domain.refusals import EndType
from order_domain.snapshot import (
    ApprovalRecord,
    CompensationState,
    DecisionOutcome,
    ErrorRecord,
    OrderSnapshot,
    StepState,
)
from order_domain.status import TERMINAL_PHASES, OrderStatus, Phase
from order_operator.cluster.conditions import ConditionSet, ConditionType, Reason, held_up
from order_operator.orders.amendment import Refusal, asks_for_other_address, asks_for_other_lines
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource
from order_operator.orders.status import OrderResourceStatus
from order_operator.problem import Problem
from order_operator.temporal.runs import Run, failing, workflow_ref


def reflect(
    order: OrderResource,
    observation: Observation | None,
    *,
    now: datetime,
    temporal_namespace: str,
    problem: Problem | None = None,
    refusals: Sequence[Refusal] = (),
    applying: bool = False,
) -> dict[str, Any]:
    """The `.status` that `order` should have, as JSON.

    `problem` is what keeps the order from being submitted or followed, `refusals` are edits that the workflow turned
    down, `applying` tells that an edit has no answer yet. `now` (UTC) dates the conditions that change.
    """
    if _keeps_what_it_shows(order, observation):
        # There is a phase to keep only if something was shown before, and by this operator.
        return held_up({"phase": Phase.PENDING.value, **order.status}, problem, now)
    snapshot = observation.snapshot if observation and observation.snapshot else OrderSnapshot()
    problem = problem or failing(observation, "order")
    order_status = _order_status(observation, snapshot)
    phase = _phase(observation, snapshot, order_status)
    error = _error(observation, snapshot)
    generation = order.generation
    if applying:
        generation = min(order.generation, int(order.status.get("observedGeneration") or 0))
    conditions = ConditionSet(order.status.get("conditions") or [], generation, now)
    _set_kstatus(conditions, observation, phase, problem, error)
    if observation is not None:
        _set_milestones(conditions, snapshot)
        _set_spec_applied(conditions, order, snapshot, phase, refusals, applying=applying)
    _set_end(conditions, phase, error)
    followed = observation is not None
    status = OrderResourceStatus(
        observed_generation=generation,
        phase=phase,
        order_status=order_status if followed else None,
        progress=snapshot.progress if followed else None,
        current_step=snapshot.current_step,
        class_name=snapshot.class_name,
        class_generation=snapshot.class_generation or None,
        total=_total(order, snapshot) if followed else None,
        total_minor=snapshot.total_minor if snapshot.class_name else None,
        approval=snapshot.approval if snapshot.approval != ApprovalRecord() else None,
        pending_action=snapshot.pending_action,
        steps=snapshot.steps,
        items=snapshot.items,
        enrichment=snapshot.enrichment,
        reservation_id=snapshot.reservation_id,
        payment=snapshot.payment,
        shipments=snapshot.shipments,
        shipment_count=snapshot.shipment_count or None,
        shipping_address=snapshot.shipping_address,
        workflow=workflow_ref(observation, temporal_namespace),
        start_time=observation.start_time if observation else None,
        completion_time=observation.close_time if observation else None,
        last_error=error,
    )
    return {**status.model_dump(mode="json", exclude_defaults=True), "conditions": conditions.build()}


def shows_other_run(order: OrderResource, run: Run) -> bool:
    """Whether the status tells of an earlier run than this one."""
    shown = order.status.get("workflow") or {}
    return bool(shown) and shown.get("runID") != run.run_id


def _keeps_what_it_shows(order: OrderResource, observation: Observation | None) -> bool:
    """A status without knowledge never replaces one that tells of a workflow."""
    if observation is None:
        return order.names_workflow
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
    else:
        reason, message = _PROGRESS_REASONS.get(phase, Reason.PROGRESSING), ""
    stuck = phase in {Phase.FAILED, Phase.MANUAL_REVIEW} or (problem is not None and problem.stalled)
    conditions.set(ConditionType.READY, not stuck, reason, message)
    conditions.set(ConditionType.RECONCILING, problem is not None and not problem.stalled, reason, message)
    conditions.set(ConditionType.STALLED, stuck, reason, message)


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
    elif phase in TERMINAL_PHASES and _edited_too_late(order, snapshot):
        message = "the order ended before the last edit of its spec"
        conditions.set(ConditionType.SPEC_APPLIED, False, Reason.ORDER_FINISHED, message)
    else:
        conditions.set(ConditionType.SPEC_APPLIED, True, Reason.APPLIED)


def _edited_too_late(order: OrderResource, snapshot: OrderSnapshot) -> bool:
    parsed = order.decoded
    if isinstance(parsed, Problem):
        return False
    spec = parsed.spec
    decision = spec.approval.decision.value if spec.approval else None
    decided = decision is not None and snapshot.approval.required and decision != snapshot.approval.decision
    completed = snapshot.status is OrderStatus.ORDER_COMPLETED
    cancelled = spec.cancellation is not None and completed and _kept_after_all(snapshot.last_error) is None
    return decided or cancelled or asks_for_other_address(parsed, snapshot) or asks_for_other_lines(parsed, snapshot)


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
