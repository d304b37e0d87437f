"""What of an order's spec its workflow must still be told."""

from collections.abc import Collection

from order_domain.order import Approval, DecisionKind, OrderSpec, Proof, digest
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_domain.value import Value
from order_operator.orders.amendment import Amendment, Group
from order_operator.orders.resource import ParsedSpec
from order_workflows.contract import (
    KUBERNETES,
    UPDATE_APPROVE,
    UPDATE_CANCEL,
    UPDATE_CHANGE_ADDRESS,
    UPDATE_CHANGE_LINES,
    UPDATE_REJECT,
    UPDATE_RESUME,
    UPDATE_RETRY,
    UPDATE_SUSPEND,
    AddressChange,
    CancelRequest,
    Decision,
    LinesChange,
    resource_update_id,
)


def plan(
    parsed: ParsedSpec,
    generation: int,
    uid: str,
    snapshot: OrderSnapshot,
    proof: Proof = Proof.CLAIMED,
    sent: Collection[str] = (),
) -> list[Amendment]:
    """What the workflow must still be told, at most one thing per group; nothing once the order has ended. `proof` says
    how far the name of a decider is proven, `sent` are the ids of edits that may have an effect which is not seen yet:
    what the spec was set back to has to come after them."""
    if snapshot.status.terminal:
        return []
    spec = parsed.spec
    changes: list[Amendment] = []

    def want(group: Group, update: str, argument: Value | None, wanted: str) -> None:
        changes.append(Amendment(group, update, argument, resource_update_id(uid, f"{group}/{wanted}/{generation}")))

    def replaces(group: Group, wanted: str) -> bool:
        ours, same = resource_update_id(uid, f"{group}/"), resource_update_id(uid, f"{group}/{wanted}/")
        return any(key.startswith(ours) and not key.startswith(same) for key in sent)

    undone = snapshot.compensation is not None or snapshot.status is OrderStatus.COMPENSATE_ORDER
    if spec.cancellation is not None and not undone:
        request = CancelRequest(by=spec.cancellation.by, reason=spec.cancellation.reason, channel=KUBERNETES)
        want(Group.CANCELLATION, UPDATE_CANCEL, request, digest(spec.cancellation))
    if asks_for_other_lines(parsed, snapshot) or replaces(Group.LINES, parsed.lines_digest):
        edited = {"generation": generation, "by": spec.edited_by, "channel": KUBERNETES}
        lines = LinesChange(lines=spec.lines, charges=spec.charges, **edited)
        want(Group.LINES, UPDATE_CHANGE_LINES, lines, parsed.lines_digest)
    if decides(spec, snapshot) and not awaits_lines(parsed, snapshot):
        assert spec.approval is not None
        decision = _decision(parsed, spec.approval, generation, proof)
        approved = spec.approval.decision is DecisionKind.APPROVED
        want(Group.APPROVAL, UPDATE_APPROVE if approved else UPDATE_REJECT, decision, digest(spec.approval))
    if asks_for_other_address(parsed, snapshot) or replaces(Group.ADDRESS, parsed.address_digest):
        change = AddressChange(
            address=spec.shipping_address, generation=generation, by=spec.edited_by, channel=KUBERNETES
        )
        want(Group.ADDRESS, UPDATE_CHANGE_ADDRESS, change, parsed.address_digest)
    held = str(spec.suspend).lower()
    if _asks_for_other_suspension(spec, snapshot) or replaces(Group.SUSPEND, held):
        want(Group.SUSPEND, UPDATE_SUSPEND if spec.suspend else UPDATE_RESUME, None, held)
    if spec.retry and snapshot.status is OrderStatus.MANUAL_REVIEW:
        retry = resource_update_id(uid, f"{Group.RETRY}/{spec.retry}")
        changes.append(Amendment(Group.RETRY, UPDATE_RETRY, None, retry, shown=False))
    return changes


def _decision(parsed: ParsedSpec, approval: Approval, generation: int, proof: Proof) -> Decision:
    seen = approval.total_minor
    return Decision(
        by=approval.by,
        reason=approval.reason,
        generation=generation,
        total_minor=seen,
        currency=parsed.spec.currency,
        # Who states no total may have patched an order without looking at its lines.
        digest=None if seen is None else parsed.lines_digest,
        requester=parsed.spec.requested_by,
        editor=parsed.spec.edited_by,
        proof=proof,
        channel=KUBERNETES,
    )


# A client of the workflow may change it too. What it has set is not taken back for a spec that nobody has touched
# since: the two would undo each other's work without end. So a spec is compared with what it asked for when it was
# heard last.


def asks_for_other_address(parsed: ParsedSpec, snapshot: OrderSnapshot) -> bool:
    """Whether the spec asks for another address than it did when it was heard last."""
    if snapshot.address_digest is not None:
        return snapshot.address_digest != parsed.address_digest
    return snapshot.shipping_address is not None and snapshot.shipping_address != parsed.spec.shipping_address


def asks_for_other_lines(parsed: ParsedSpec, snapshot: OrderSnapshot) -> bool:
    """The same for lines and charges. An older workflow does not say what it heard, only what is in force."""
    heard = snapshot.lines_requested or snapshot.lines_digest
    return heard is not None and heard != parsed.lines_digest


def _asks_for_other_suspension(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    heard = snapshot.suspended if snapshot.suspend_requested is None else snapshot.suspend_requested
    return spec.suspend != heard


def awaits_decision(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    """Whether the spec has a decision, and the workflow has none."""
    return spec.approval is not None and snapshot.approval.decision is None and not snapshot.status.terminal


def decides(spec: OrderSpec, snapshot: OrderSnapshot) -> bool:
    """Whether the spec has a decision that the workflow does not have, or has of somebody else."""
    decided = (snapshot.approval.decision, snapshot.approval.by)
    return spec.approval is not None and decided != (spec.approval.decision.value, spec.approval.by)


def awaits_lines(parsed: ParsedSpec, snapshot: OrderSnapshot) -> bool:
    """An approval counts for the lines of the spec: it is sent once they are in force. A rejection is sent at once."""
    approval = parsed.spec.approval
    approves = approval is not None and approval.decision is DecisionKind.APPROVED
    return approves and snapshot.lines_digest is not None and snapshot.lines_digest != parsed.lines_digest
