"""Edits that are not in force, and why: refused, not sent, or overtaken by a client of the workflow."""

from collections.abc import Sequence

from order_domain.order import Approval, digest
from order_domain.refusals import RefusalType
from order_domain.snapshot import OrderSnapshot
from order_operator.cluster.conditions import ConditionType, Reason
from order_operator.orders.amendment import FOR_THE_DECIDER, Group, Refusal
from order_operator.orders.edit_plan import awaits_lines, decides
from order_operator.orders.edit_state import EditState
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_workflows.contract import generation_of, resource_update_id


def drifted(parsed: ParsedSpec, snapshot: OrderSnapshot) -> list[Refusal]:
    """What a client of the workflow has changed since the spec was heard, for people who read the resource."""
    found = []
    in_force = snapshot.lines_digest
    if in_force is not None and snapshot.lines_requested == parsed.lines_digest != in_force:
        found.append(Refusal(Group.LINES, Reason.CHANGED_BY_CLIENT, _CHANGED.format("lines or charges")))
    if snapshot.suspend_requested == parsed.spec.suspend != snapshot.suspended:
        found.append(Refusal(Group.SUSPEND, Reason.CHANGED_BY_CLIENT, _CHANGED.format("suspension")))
    return found


_CHANGED = (
    "a client of the workflow has changed the {} since the spec was read, and what it set is in force: edit the spec "
    "to change them again"
)


def deferred_approval(parsed: ParsedSpec, snapshot: OrderSnapshot, refusals: Sequence[Refusal]) -> list[Refusal]:
    """The approval of an order whose lines are not those of the spec, and will not be: it is not even sent."""
    refused = any(refusal.group is Group.LINES for refusal in refusals)
    if not refused or not decides(parsed.spec, snapshot) or not awaits_lines(parsed, snapshot):
        return []
    message = "not sent, since the lines that it approves are not in force: remove it, set other lines and decide again"
    return [Refusal(Group.APPROVAL, Reason.LINES_NOT_APPLIED, message)]


def refused_before(order: OrderResource, parsed: ParsedSpec, edits: EditState) -> Refusal | None:
    """The refusal of this very decision, for who made it, in this generation or an earlier one; None if there was none,
    or the decision was taken back since. The status tells; an answer that is not shown yet does too."""
    if parsed.spec.approval is None:
        return None
    wanted = digest(parsed.spec.approval)
    prefix = resource_update_id(order.uid, f"{Group.APPROVAL}/{wanted}/")
    answers = [
        (generation_of(key), refusal)
        for key, refusal in edits.refused.items()
        if key.startswith(prefix) and refusal.reason in FOR_THE_DECIDER
    ]
    shown = order.status.get("refusedDecision") == wanted
    newest = max(answers, key=lambda answer: answer[0], default=None)
    if newest is not None and (shown or newest[0] > int(order.status.get("observedGeneration") or 0)):
        return newest[1]
    return _as_shown(order, parsed.spec.approval) if shown else None


def _as_shown(order: OrderResource, approval: Approval) -> Refusal:
    """In the words of the status, where that still has them."""
    conditions = {item["type"]: item for item in order.status.get("conditions") or []}
    applied = conditions.get(ConditionType.SPEC_APPLIED, {})
    said, reason = str(applied.get("message")), str(applied.get("reason"))
    prefix = f"spec.{Group.APPROVAL}: "
    if reason in FOR_THE_DECIDER and said.startswith(prefix):
        return Refusal(Group.APPROVAL, reason, said.removeprefix(prefix).partition("; spec.")[0])
    why = f"{approval.by} may not decide about this order: take the decision back, so that somebody else decides"
    return Refusal(Group.APPROVAL, RefusalType.OWN_EDIT, why)


def unproven_approval(parsed: ParsedSpec, why: str) -> Refusal:
    """Of a decision that is not sent, since its name has to be proven and is not."""
    assert parsed.spec.approval is not None
    message = (
        f"not sent, since nothing proves that {parsed.spec.approval.by} decided: {why}. Take it back, and decide where "
        "the policy is in force; an order that is older than the policy has to be ordered again"
    )
    return Refusal(Group.APPROVAL, Reason.PROOF_REQUIRED, message)
