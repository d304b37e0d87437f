"""The record of an order's approval: whether a person must decide, and what was decided. Pure: the caller brings the
time."""

from datetime import datetime

from order_domain.order import DecisionKind, Proof
from order_domain.pipeline import StepName
from order_domain.snapshot import ApprovalRecord, DecisionOutcome
from order_workflows.contract import KUBERNETES, POLICY, Decision, OrderInput


def is_required(order: OrderInput, total_minor: int) -> bool:
    """Whether a person must decide about an order of this total."""
    gated = StepName.APPROVAL in order.policy.pipeline
    return gated and order.policy.approval.required(total_minor, order.spec.currency, nothing_too=order.revision < 4)


def asked(record: ApprovalRecord, order: OrderInput, total_minor: int, editor: str | None) -> ApprovalRecord:
    """`record` with whether a person must decide, who may, and about whose order."""
    return record.model_copy(update=_question(order, total_minor, editor))


def _question(order: OrderInput, total_minor: int, editor: str | None) -> dict[str, object]:
    if not is_required(order, total_minor):
        return {"required": False, "requires": None, "requested_by": None, "edited_by": None}
    verb = order.policy.approval.verb(total_minor, order.spec.currency)
    people = {"requested_by": order.spec.requested_by, "edited_by": editor}
    return {"required": True, "requires": verb.value, **people}


def decided(
    record: ApprovalRecord,
    order: OrderInput,
    kind: DecisionKind,
    decision: Decision,
    at: datetime,
    *,
    total_minor: int,
    editor: str | None,
) -> ApprovalRecord:
    """`record` with the final decision, and the amount that it is about."""
    return record.model_copy(
        update={
            "decision": DecisionOutcome(kind.value),
            "by": decision.by,
            "proof": _proof(decision),
            "at": at,
            "reason": decision.reason,
            "generation": decision.generation or None,
            "via": decision.channel,
            "total_minor": total_minor,
            "currency": order.spec.currency,
            "digest": decision.digest,
            "requested_by": order.spec.requested_by or decision.requester,
            "edited_by": decision.editor or editor,
        }
    )


def _proof(decision: Decision) -> Proof | None:
    """How far the decider's name is proven, as the one says who saw the resource. None where no person decided."""
    if decision.channel == POLICY:
        return None
    return (decision.proof or Proof.CLAIMED) if decision.channel == KUBERNETES else Proof.CLAIMED


def expired(record: ApprovalRecord, at: datetime) -> ApprovalRecord:
    """`record` with that there was no decision in time."""
    return record.model_copy(update={"decision": DecisionOutcome.EXPIRED, "at": at})
