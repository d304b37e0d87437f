"""Who may decide about an order, by which way, and what is kept of it: issue 12, rows H3 and A2."""

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront, eventually
from temporalio.exceptions import ApplicationError

from order_domain.audit_note import NoteKind
from order_domain.order import OrderSpec, Proof
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import KUBERNETES, AddressChange, Decision, LinesChange, resource_update_id
from order_workflows.reference_messages import APPROVE_PAYMENT

ALWAYS = {"mode": "Always", "window_seconds": 300}
FOUR_EYES = {**ALWAYS, "four_eyes": True}
BOB = Decision(by="bob", channel=KUBERNETES, proof=Proof.POLICY, generation=2)


def ordered_by(name: str | None = "ana", **changes: object) -> OrderSpec:
    return an_order_spec(lines=[a_line(unit_price_minor=150_000)], requested_by=name, **changes)


async def waiting(shop: Storefront, spec: OrderSpec, approval: dict[str, object]) -> PlacedOrder:
    order = await shop.place(spec, policy=a_policy(approval=approval))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


def of_resource(order: PlacedOrder, about: str = "approval/d/2") -> str:
    return resource_update_id(order.uid, about)


async def refusal(order: PlacedOrder, name: str, argument: object) -> ApplicationError:
    """Of an Update that the operator sends."""
    return await order.refusal(name, argument, update_id=of_resource(order))


async def test_a_decision_keeps_who_ordered_who_edited_who_decided_how_and_about_what(
    shop: Storefront, world: World
) -> None:
    order = await waiting(shop, ordered_by(edited_by="eve"), FOUR_EYES)

    await order.update(contract.UPDATE_APPROVE, BOB, update_id=of_resource(order))
    await order.result()
    await shop.record("four-eyes", order)

    approval = (await order.snapshot()).approval
    assert (approval.requested_by, approval.edited_by, approval.by) == ("ana", "eve", "bob")
    assert (approval.proof, approval.via, approval.generation) == (Proof.POLICY, KUBERNETES, 2)
    assert (approval.total_minor, approval.currency) == (150_000, "USD")
    [note] = [note for note in world.notes if note.kind is NoteKind.APPROVED]
    assert (note.requester, note.editor, note.by, note.proof) == ("ana", "eve", "bob", Proof.POLICY)
    assert (note.channel, note.generation, note.total_minor) == (KUBERNETES, 2, 150_000)


async def test_the_trail_of_an_order_of_an_earlier_release_is_written_as_it_was(shop: Storefront, world: World) -> None:
    order = await shop.place(ordered_by(), policy=a_policy(approval=ALWAYS), revision=4)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.update(contract.UPDATE_APPROVE, BOB, update_id=of_resource(order))
    await order.result()

    [note] = [note for note in world.notes if note.kind is NoteKind.APPROVED]
    assert (note.requester, note.editor, note.proof) == (None, None, None)


@pytest.mark.parametrize("claimed", ["kubernetes", "temporal"])
async def test_a_client_of_temporal_is_named_as_such_and_proves_nothing(shop: Storefront, claimed: str) -> None:
    order = await waiting(shop, ordered_by(), ALWAYS)

    await order.update(contract.UPDATE_APPROVE, BOB.model_copy(update={"channel": claimed}))
    await order.result()

    approval = (await order.snapshot()).approval
    assert (approval.by, approval.via, approval.proof) == ("bob", "temporal", Proof.CLAIMED)


async def test_a_decision_that_the_operator_found_no_proof_for_is_claimed(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(), ALWAYS)

    decision = BOB.model_copy(update={"proof": None})
    await order.update(contract.UPDATE_APPROVE, decision, update_id=of_resource(order))
    await order.result()

    assert (await order.snapshot()).approval.proof is Proof.CLAIMED


async def test_a_decision_of_the_class_names_nobody_and_proves_nothing(shop: Storefront) -> None:
    order = await shop.place(ordered_by(), policy=a_policy(approval={**ALWAYS, "auto_approve_after_seconds": 1}))
    await order.result()

    approval = (await order.snapshot()).approval
    assert (approval.via, approval.proof) == ("policy", None)


@pytest.mark.parametrize("name", [contract.UPDATE_APPROVE, contract.UPDATE_REJECT])
@pytest.mark.parametrize(
    ("spec", "by", "reason"),
    [
        pytest.param(ordered_by(), "ana", "OwnOrder", id="who ordered"),
        pytest.param(ordered_by(edited_by="eve"), "eve", "OwnEdit", id="who edited last"),
        pytest.param(ordered_by(None), "bob", "RequesterUnknown", id="anybody where nobody knows who ordered"),
    ],
)
async def test_four_eyes_refuse(shop: Storefront, name: str, spec: OrderSpec, by: str, reason: str) -> None:
    order = await waiting(shop, spec, FOUR_EYES)

    refused = await refusal(order, name, BOB.model_copy(update={"by": by}))

    assert refused.type == reason
    assert "class standard has approval.fourEyes" in refused.message
    assert (await order.snapshot()).approval.decision is None


async def test_a_class_without_four_eyes_lets_people_decide_about_their_own_orders(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(), ALWAYS)

    await order.update(contract.UPDATE_APPROVE, Decision(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_who_ordered_may_be_told_with_the_decision(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(None), FOUR_EYES)

    assert await order.refuses(contract.UPDATE_APPROVE, Decision(by="bob", requester="bob")) == "OwnOrder"
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", requester="ana"))
    await order.result()

    assert (await order.snapshot()).approval.requested_by == "ana"


async def test_who_changes_lines_while_a_decision_is_awaited_may_not_decide(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(), FOUR_EYES)
    changed = [a_line(unit_price_minor=160_000)]

    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=changed, by="bob", generation=2))

    own = Decision(by="bob", total_minor=160_000)
    assert await order.refuses(contract.UPDATE_APPROVE, own) == "OwnEdit"
    assert (await order.snapshot()).approval.edited_by == "bob"
    await order.update(contract.UPDATE_APPROVE, own.model_copy(update={"by": "carol"}))
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_an_edit_of_the_resource_without_a_name_needs_one_before_anybody_decides(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(), FOUR_EYES)
    change = AddressChange(address=an_address(city="Shelbyville"), generation=2, channel=KUBERNETES)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, change, update_id=of_resource(order, "shippingAddress/d/2"))

    refused = await refusal(order, contract.UPDATE_APPROVE, BOB)
    assert (refused.type, refused.message.split(":")[0]) == ("EditorUnknown", "spec.editedBy")
    await order.update(contract.UPDATE_APPROVE, BOB.model_copy(update={"editor": "eve"}))
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_an_edit_by_a_signal_which_names_nobody_has_to_be_made_again_by_the_resource(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(), FOUR_EYES)
    address = an_address(city="Shelbyville")
    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, address)

    decision = BOB.model_copy(update={"editor": "eve"})
    assert (await refusal(order, contract.UPDATE_APPROVE, decision)).type == "EditorUnknown"
    change = AddressChange(address=address, generation=2, by="eve", channel=KUBERNETES)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, change, update_id=of_resource(order, "shippingAddress/d/2"))
    await order.update(contract.UPDATE_APPROVE, decision, update_id=of_resource(order, "approval/d/3"))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


@pytest.mark.parametrize(
    ("approval", "reason"),
    [
        pytest.param(FOUR_EYES, "DeciderUnknown", id="four eyes"),
        pytest.param({**ALWAYS, "temporal_clients": "Refused"}, "TemporalClientRefused", id="no clients of Temporal"),
    ],
)
async def test_a_signal_that_the_class_does_not_hear_is_shown(
    shop: Storefront, approval: dict[str, object], reason: str
) -> None:
    order = await waiting(shop, ordered_by(), approval)

    await order.handle.signal(contract.SIGNAL_APPROVE_ORDER, True)

    async def shown() -> bool:
        refused = (await order.snapshot()).last_refusal
        return refused is not None and refused.reason.startswith(reason)

    await eventually(shown, reason)
    assert (await order.snapshot()).approval.decision is None


async def test_a_signal_that_names_who_decides_is_judged_by_four_eyes_as_well(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(), FOUR_EYES)

    await order.handle.signal(APPROVE_PAYMENT, {"ApprovedBy": "ana"})
    await order.handle.signal(APPROVE_PAYMENT, {"ApprovedBy": "bob"})

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert (await order.snapshot()).approval.by == "bob"


@pytest.mark.parametrize("name", [contract.UPDATE_APPROVE, contract.UPDATE_REJECT])
@pytest.mark.parametrize("claimed", ["kubernetes", "temporal"])
async def test_a_class_may_hear_the_resource_alone(shop: Storefront, name: str, claimed: str) -> None:
    order = await waiting(shop, ordered_by(), {**ALWAYS, "temporal_clients": "Refused"})

    refused = await order.refusal(name, BOB.model_copy(update={"channel": claimed}))

    assert refused.type == "TemporalClientRefused"
    assert "decide by spec.approval of the resource" in refused.message
    await order.update(name, BOB, update_id=of_resource(order))
    await order.result()
    assert (await order.snapshot()).approval.via == KUBERNETES


@pytest.mark.parametrize(
    ("high", "requires"), [(149_999, "approve-high"), (150_000, "approve")], ids=["above", "just not above"]
)
async def test_what_an_approver_needs_follows_the_amount(shop: Storefront, high: int, requires: str) -> None:
    approval = {**ALWAYS, "high_threshold_minor": high, "currency": "USD"}
    order = await waiting(shop, ordered_by(), approval)

    shown = await order.snapshot()

    assert shown.approval.requires == requires
    assert shown.pending_action is not None
    assert ("by a holder of the verb approve-high" in shown.pending_action.message) == (requires == "approve-high")


async def test_other_lines_may_ask_for_the_higher_verb(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(), {**ALWAYS, "high_threshold_minor": 150_000, "currency": "USD"})

    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[a_line(unit_price_minor=150_001)], by="eve"))

    approval = (await order.snapshot()).approval
    assert (approval.requires, approval.requested_by, approval.edited_by) == ("approve-high", "ana", "eve")


async def test_an_order_that_waits_under_four_eyes_says_who_may_not_decide(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(edited_by="eve"), FOUR_EYES)

    action = (await order.snapshot()).pending_action

    assert action is not None
    assert "waits for approval of 1500.00 USD, not by ana or eve, until" in action.message


async def test_an_order_of_which_nobody_knows_who_ordered_says_what_is_missing(shop: Storefront) -> None:
    order = await waiting(shop, ordered_by(None), FOUR_EYES)

    action = (await order.snapshot()).pending_action

    assert action is not None
    assert "waits for approval of 1500.00 USD, once spec.requestedBy says who ordered, until" in action.message


async def test_an_order_that_needs_no_approval_shows_none(shop: Storefront) -> None:
    order = await shop.place(ordered_by(), policy=a_policy(approval={"mode": "Never"}))
    await order.result()

    approval = (await order.snapshot()).approval
    assert (approval.required, approval.requires, approval.requested_by) == (False, None, None)
