from typing import Any

import pytest
from builders import UID, a_line, a_snapshot, an_address, an_order_spec

from order_domain.order import Approval, Cancellation, ChargeKind, OrderCharge, OrderSpec, Proof, digest, lines_digest
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_operator.orders.amendment import Amendment, Group, Refusal
from order_operator.orders.edit_plan import plan
from order_operator.orders.edit_refusals import deferred_approval, drifted
from order_operator.orders.resource import ParsedSpec
from order_workflows.contract import AddressChange, CancelRequest, Decision, LinesChange, is_of_resource

ELSEWHERE = an_address(city="Shelbyville")
APPROVED = {"decision": "Approved", "by": "bob", "reason": "known"}
REJECTED = {"decision": "Rejected", "by": "bob"}
MORE = [a_line(), a_line(line_id="2")]
SHIPPING = [OrderCharge(charge_id="ship", kind=ChargeKind.SHIPPING, amount_minor=500)]
AS_ORDERED = digest([a_line()])
"""Of the lines that `an_order_spec()` has."""

EDITS: list[dict[str, Any]] = [
    {"approval": APPROVED},
    {"approval": REJECTED},
    {"cancellation": {"by": "ana"}},
    {"shipping_address": ELSEWHERE},
    {"lines": MORE},
    {"suspend": True},
]


def planned(spec: OrderSpec, snapshot: OrderSnapshot, *, generation: int = 2, uid: str = UID) -> list[Amendment]:
    return plan(ParsedSpec(spec), generation, uid, snapshot)


def the_only(spec: OrderSpec, snapshot: OrderSnapshot | None = None) -> Amendment:
    (change,) = planned(spec, snapshot or a_snapshot())
    return change


def test_a_spec_that_the_workflow_has_needs_nothing() -> None:
    assert planned(an_order_spec(), a_snapshot()) == []


def test_an_approval_is_sent_with_who_why_and_the_generation_seen() -> None:
    change = the_only(an_order_spec(approval=Approval.model_validate(APPROVED)))

    assert (change.group, change.update) == (Group.APPROVAL, "approve")
    assert change.argument == Decision(
        by="bob", reason="known", generation=2, currency="USD", proof=Proof.CLAIMED, channel="kubernetes"
    )


def test_a_decision_is_sent_with_who_ordered_who_edited_and_what_is_proven() -> None:
    spec = an_order_spec(approval=Approval.model_validate(APPROVED), requested_by="ana", edited_by="eve")

    [change] = plan(ParsedSpec(spec), 2, UID, a_snapshot(), Proof.POLICY)

    assert isinstance(change.argument, Decision)
    assert (change.argument.requester, change.argument.editor) == ("ana", "eve")
    assert change.argument.proof is Proof.POLICY
    assert is_of_resource(change.update_id, UID)


def test_edits_are_sent_with_who_edited() -> None:
    spec = an_order_spec(lines=MORE, shipping_address=ELSEWHERE, edited_by="eve")
    shown = a_snapshot(lines_digest=AS_ORDERED)

    arguments = [change.argument for change in planned(spec, shown)]

    assert [(type(each), each.by) for each in arguments if isinstance(each, LinesChange | AddressChange)] == [
        (LinesChange, "eve"),
        (AddressChange, "eve"),
    ]


def test_a_decision_about_a_stated_total_says_what_it_is_about() -> None:
    spec = an_order_spec(charges=SHIPPING, approval={**APPROVED, "total_minor": 50_500})

    assert the_only(spec).argument == Decision(
        by="bob",
        reason="known",
        generation=2,
        total_minor=50_500,
        currency="USD",
        digest=lines_digest([a_line()], SHIPPING),
        proof=Proof.CLAIMED,
        channel="kubernetes",
    )


def test_a_rejection_is_another_update() -> None:
    assert the_only(an_order_spec(approval=Approval.model_validate(REJECTED))).update == "reject"


@pytest.mark.parametrize("edit", [APPROVED, REJECTED])
def test_a_decision_that_the_workflow_has_is_not_sent(edit: dict[str, str]) -> None:
    decided = a_snapshot(approval={"required": True, "decision": edit["decision"], "by": "bob"})

    assert planned(an_order_spec(approval=edit), decided) == []


def test_another_decision_than_the_recorded_one_is_sent_so_that_it_is_refused_aloud() -> None:
    decided = a_snapshot(approval={"required": True, "decision": "Rejected", "by": "bob"})

    assert the_only(an_order_spec(approval=APPROVED), decided).update == "approve"


def test_the_same_decision_by_somebody_else_is_sent_too() -> None:
    decided = a_snapshot(approval={"required": True, "decision": "Approved", "by": "eve"})

    assert the_only(an_order_spec(approval=APPROVED), decided).group is Group.APPROVAL


def test_a_cancellation_is_sent_with_who_and_why() -> None:
    change = the_only(an_order_spec(cancellation=Cancellation(by="ana", reason="late")))

    assert (change.group, change.update) == (Group.CANCELLATION, "cancel")
    assert change.argument == CancelRequest(by="ana", reason="late", channel="kubernetes")


@pytest.mark.parametrize("compensation", ["Running", "Done", "Failed"])
def test_an_order_that_is_being_undone_is_not_cancelled_again(compensation: str) -> None:
    spec = an_order_spec(cancellation={"by": "ana"})

    assert planned(spec, a_snapshot(compensation=compensation)) == []


def test_an_order_that_is_to_be_undone_once_the_ledger_answers_is_not_cancelled_again() -> None:
    spec = an_order_spec(cancellation={"by": "ana"})

    assert planned(spec, a_snapshot(status=OrderStatus.COMPENSATE_ORDER)) == []


def test_another_address_is_sent() -> None:
    change = the_only(an_order_spec(shipping_address=ELSEWHERE))

    assert (change.group, change.update) == (Group.ADDRESS, "change_address")
    assert change.argument == AddressChange(address=ELSEWHERE, generation=2, channel="kubernetes")


def test_an_address_that_a_client_set_is_not_taken_back_while_that_of_the_spec_stays_as_it_was() -> None:
    spec = an_order_spec()
    moved = a_snapshot(shipping_address=ELSEWHERE, address_digest=digest(spec.shipping_address))

    assert planned(spec, moved) == []


def test_an_address_edited_after_a_client_set_another_is_sent() -> None:
    asked_before = digest(an_order_spec().shipping_address)
    third = ELSEWHERE.model_copy(update={"city": "Elsewhere"})

    change = the_only(
        an_order_spec(shipping_address=third), a_snapshot(shipping_address=ELSEWHERE, address_digest=asked_before)
    )

    assert change.argument == AddressChange(address=third, generation=2, channel="kubernetes")


def test_the_address_in_force_is_not_sent() -> None:
    spec = an_order_spec(shipping_address=ELSEWHERE)

    assert planned(spec, a_snapshot(shipping_address=ELSEWHERE)) == []


def test_no_address_is_sent_before_the_workflow_has_said_which_one_it_has() -> None:
    assert planned(an_order_spec(shipping_address=ELSEWHERE), OrderSnapshot()) == []


def test_other_lines_are_sent_with_the_generation_that_asks_for_them() -> None:
    change = the_only(an_order_spec(lines=MORE), a_snapshot(lines_digest=AS_ORDERED))

    assert (change.group, change.update) == (Group.LINES, "change_lines")
    assert change.argument == LinesChange(lines=MORE, charges=[], generation=2, channel="kubernetes")


def test_charges_are_sent_with_the_lines_that_they_belong_to() -> None:
    change = the_only(an_order_spec(charges=SHIPPING), a_snapshot(lines_digest=AS_ORDERED))

    assert (change.group, change.update) == (Group.LINES, "change_lines")
    assert change.argument == LinesChange(lines=[a_line()], charges=SHIPPING, generation=2, channel="kubernetes")


def test_the_charges_in_force_are_not_sent() -> None:
    in_force = a_snapshot(lines_digest=lines_digest([a_line()], SHIPPING))

    assert planned(an_order_spec(charges=SHIPPING), in_force) == []


def test_charges_that_were_taken_away_are_sent() -> None:
    in_force = a_snapshot(lines_digest=lines_digest([a_line()], SHIPPING))

    assert the_only(an_order_spec(), in_force).argument == LinesChange(
        lines=[a_line()], charges=[], generation=2, channel="kubernetes"
    )


def test_the_lines_in_force_are_not_sent_in_whatever_order_they_stand() -> None:
    assert planned(an_order_spec(lines=MORE[::-1]), a_snapshot(lines_digest=digest(MORE))) == []


def test_no_lines_are_sent_before_the_workflow_has_said_which_ones_it_has() -> None:
    assert planned(an_order_spec(lines=MORE), a_snapshot()) == []


def test_an_approval_waits_for_the_lines_that_it_approves() -> None:
    both = an_order_spec(lines=MORE, approval=APPROVED)

    assert the_only(both, a_snapshot(lines_digest=AS_ORDERED)).group is Group.LINES
    assert the_only(both, a_snapshot(lines_digest=digest(MORE))).group is Group.APPROVAL


def test_a_rejection_does_not_wait_for_lines() -> None:
    both = an_order_spec(lines=MORE, approval=REJECTED)

    assert [change.group for change in planned(both, a_snapshot(lines_digest=AS_ORDERED))] == [
        Group.LINES,
        Group.APPROVAL,
    ]


NO_STOCK = Refusal(Group.LINES, "OutOfStock", "PROD-001 is short")


def test_an_approval_of_lines_that_are_refused_is_told_as_refused_with_what_to_do() -> None:
    (held,) = deferred_approval(
        ParsedSpec(an_order_spec(lines=MORE, approval=APPROVED)), a_snapshot(lines_digest=AS_ORDERED), [NO_STOCK]
    )

    assert (held.group, held.reason) == (Group.APPROVAL, "LinesNotApplied")
    assert "decide again" in held.message


@pytest.mark.parametrize(
    ("spec", "refusals"),
    [
        ({"lines": MORE, "approval": APPROVED}, []),
        ({"lines": MORE, "approval": APPROVED}, [Refusal(Group.ADDRESS, "AlreadyShipped", "")]),
        ({"lines": MORE, "approval": REJECTED}, [NO_STOCK]),
        ({"lines": MORE}, [NO_STOCK]),
        ({"approval": APPROVED}, [NO_STOCK]),
    ],
    ids=["no answer yet", "another refusal", "a rejection", "no decision", "the lines in force"],
)
def test_nothing_else_is_held_back(spec: dict[str, Any], refusals: list[Refusal]) -> None:
    assert deferred_approval(ParsedSpec(an_order_spec(**spec)), a_snapshot(lines_digest=AS_ORDERED), refusals) == []


def test_an_approval_that_the_workflow_has_is_not_held_back_by_later_lines() -> None:
    decided = a_snapshot(approval={"required": True, "decision": "Approved", "by": "bob"}, lines_digest=AS_ORDERED)

    assert deferred_approval(ParsedSpec(an_order_spec(lines=MORE, approval=APPROVED)), decided, [NO_STOCK]) == []


@pytest.mark.parametrize(("wanted", "update"), [(True, "suspend"), (False, "resume")])
def test_suspend_follows_the_spec(wanted: bool, update: str) -> None:
    change = the_only(an_order_spec(suspend=wanted), a_snapshot(suspended=not wanted))

    assert (change.group, change.update, change.argument) == (Group.SUSPEND, update, None)


@pytest.mark.parametrize("suspended", [True, False])
def test_an_order_suspended_as_wanted_is_left_alone(suspended: bool) -> None:
    assert planned(an_order_spec(suspend=suspended), a_snapshot(suspended=suspended)) == []


IN_REVIEW = a_snapshot(status=OrderStatus.MANUAL_REVIEW)


def test_an_order_in_manual_review_is_tried_again_once_per_number_of_retry() -> None:
    first, again, second = (
        planned(an_order_spec(retry=number), IN_REVIEW, generation=generation)
        for number, generation in [(1, 2), (1, 3), (2, 4)]
    )

    assert [(change.group, change.update, change.argument) for change in first] == [(Group.RETRY, "retry", None)]
    assert first[0].update_id == again[0].update_id != second[0].update_id
    assert not first[0].shown


@pytest.mark.parametrize(
    ("retry", "snapshot"),
    [(0, IN_REVIEW), (1, a_snapshot()), (1, a_snapshot(status=OrderStatus.COMPENSATE_ORDER))],
    ids=["never asked for", "under way", "being undone"],
)
def test_nothing_is_tried_again_that_does_not_wait_for_it(retry: int, snapshot: OrderSnapshot) -> None:
    assert planned(an_order_spec(retry=retry), snapshot) == []


@pytest.mark.parametrize("status", [status for status in OrderStatus if status.terminal])
@pytest.mark.parametrize("edit", EDITS)
def test_an_order_that_has_ended_is_told_nothing(status: OrderStatus, edit: dict[str, Any]) -> None:
    assert planned(an_order_spec(**edit), a_snapshot(status=status)) == []


def test_every_group_that_differs_is_told_once() -> None:
    edits = {key: value for edit in EDITS for key, value in edit.items()}
    spec = an_order_spec(**edits | {"approval": REJECTED})

    groups = [change.group for change in planned(spec, a_snapshot(lines_digest=AS_ORDERED))]

    assert sorted(groups) == sorted(set(Group) - {Group.RETRY, Group.ADOPTION})
    assert groups[0] is Group.CANCELLATION


@pytest.mark.parametrize("edit", EDITS)
def test_the_id_of_an_update_is_the_same_at_every_repetition(edit: dict[str, Any]) -> None:
    spec = an_order_spec(**edit)

    first, second = (planned(spec, a_snapshot(seq=seq, lines_digest=AS_ORDERED)) for seq in (1, 9))

    assert first
    assert [change.update_id for change in first] == [change.update_id for change in second]


@pytest.mark.parametrize("edit", EDITS)
def test_the_id_of_an_update_differs_by_uid_and_generation(edit: dict[str, Any]) -> None:
    spec = an_order_spec(**edit)

    ids = {
        planned(spec, a_snapshot(lines_digest=AS_ORDERED), generation=generation, uid=uid)[0].update_id
        for generation in (2, 3)
        for uid in ("one", "two")
    }

    assert len(ids) == 4


def test_the_id_of_an_update_differs_by_what_is_wanted() -> None:
    other = an_address(city="Ogdenville")

    assert (
        the_only(an_order_spec(shipping_address=ELSEWHERE)).update_id
        != the_only(an_order_spec(shipping_address=other)).update_id
    )


def test_lines_that_a_client_set_are_not_taken_back_while_those_of_the_spec_stay_as_they_were() -> None:
    changed = a_snapshot(lines_digest=digest(MORE), lines_requested=AS_ORDERED)

    assert planned(an_order_spec(), changed) == []


def test_lines_edited_after_a_client_set_others_are_sent() -> None:
    changed = a_snapshot(lines_digest=digest(MORE), lines_requested=AS_ORDERED)
    third = [a_line(quantity=3)]

    assert the_only(an_order_spec(lines=third), changed).argument == LinesChange(
        lines=third, charges=[], generation=2, channel="kubernetes"
    )


def test_an_approval_waits_while_a_client_has_set_other_lines_than_it_approves() -> None:
    changed = a_snapshot(lines_digest=digest(MORE), lines_requested=AS_ORDERED)

    assert planned(an_order_spec(approval=APPROVED), changed) == []


def test_a_suspension_by_a_client_is_not_taken_back_for_a_spec_that_nobody_has_touched() -> None:
    assert planned(an_order_spec(), a_snapshot(suspended=True, suspend_requested=False)) == []


def test_a_suspension_in_the_spec_is_sent_though_a_client_has_resumed_the_order_before() -> None:
    resumed = a_snapshot(suspended=False, suspend_requested=True)

    assert planned(an_order_spec(suspend=True), resumed) == []
    assert the_only(an_order_spec(suspend=False), resumed).update == "resume"


@pytest.mark.parametrize(
    ("snapshot", "group"),
    [
        (a_snapshot(lines_digest=digest(MORE), lines_requested=AS_ORDERED), Group.LINES),
        (a_snapshot(suspended=True, suspend_requested=False), Group.SUSPEND),
    ],
)
def test_what_a_client_has_changed_is_told(snapshot: OrderSnapshot, group: Group) -> None:
    (told,) = drifted(ParsedSpec(an_order_spec()), snapshot)

    assert (told.group, told.reason) == (group, "ChangedByClient")
    assert "edit the spec" in told.message


def test_an_order_that_is_as_its_spec_says_has_not_drifted() -> None:
    assert drifted(ParsedSpec(an_order_spec()), a_snapshot(lines_digest=AS_ORDERED)) == []
