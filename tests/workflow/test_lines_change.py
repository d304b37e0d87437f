"""Other lines for a running order: the total, the threshold, the reservation and the decision follow."""

import pytest
from builders import a_line, a_policy, an_order_spec
from fake_activities import INITIAL_STOCK, World
from storefront import SHORT_TASK, PlacedOrder, Storefront, eventually

from order_domain.audit_note import NoteKind
from order_domain.errors import FraudSuspected, OrderError, OutOfStock
from order_domain.order import ChargeKind, OrderCharge, OrderLine, digest, lines_digest
from order_domain.pipeline import StepName
from order_domain.snapshot import StepState
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import CancelRequest, Decision, LinesChange

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])
MORE = [a_line(unit_price_minor=150_000), a_line(line_id="2", sku="PROD-002", quantity=3, unit_price_minor=1_000)]
CHEAPER = [a_line(unit_price_minor=90_000)]
GENERATION = 2


def to(lines: list[OrderLine], generation: int = GENERATION) -> LinesChange:
    return LinesChange(lines=lines, generation=generation)


async def a_waiting_order(shop: Storefront, **changes: object) -> PlacedOrder:
    order = await shop.place(BIG, **changes)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


async def test_added_lines_are_charged_and_shipped(shop: Storefront, world: World) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=153_000))

    result = await order.result()
    await shop.record("lines-changed", order)
    assert result.total_minor == world.balance == 153_000
    assert set(world.delivered) == {"1", "2"}


async def test_the_trail_says_who_changed_the_lines_to_which_amount(shop: Storefront, world: World) -> None:
    order = await a_waiting_order(shop)

    change = LinesChange(lines=CHEAPER, generation=GENERATION, by="eve", channel=contract.KUBERNETES)
    await order.update(contract.UPDATE_CHANGE_LINES, change, update_id=contract.resource_update_id(order.uid, "lines"))
    await order.result()

    [note] = [note for note in world.notes if note.kind is NoteKind.LINES_CHANGED]
    assert (note.by, note.channel, note.generation) == ("eve", contract.KUBERNETES, GENERATION)
    assert (note.total_minor, note.digest) == (90_000, lines_digest(CHEAPER, []))


SHIPPING = OrderCharge(charge_id="ship", kind=ChargeKind.SHIPPING, amount_minor=500)


async def test_a_change_that_names_no_charges_keeps_those_in_force(shop: Storefront, world: World) -> None:
    order = await shop.place(BIG.model_copy(update={"charges": [SHIPPING]}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.update(contract.UPDATE_CHANGE_LINES, to(CHEAPER))

    assert (await order.result()).total_minor == world.balance == 90_500


async def test_a_change_that_names_charges_replaces_them(shop: Storefront, world: World) -> None:
    order = await shop.place(BIG.model_copy(update={"charges": [SHIPPING]}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=CHEAPER, charges=[]))

    assert (await order.result()).total_minor == world.balance == 90_000


async def test_added_lines_are_held_in_stock_before_the_answer(shop: Storefront, world: World) -> None:
    """Defect 14 of the reference systems: items that were added after the reservation were never reserved."""
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE))

    assert world.on_hand["PROD-002"] == INITIAL_STOCK - 3
    assert world.on_hand["PROD-001"] == INITIAL_STOCK - 1


async def test_the_changed_lines_are_shown_at_once(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE))

    snapshot = await order.snapshot()
    assert snapshot.total_minor == 153_000
    assert snapshot.lines_digest == digest(MORE)
    assert snapshot.pending_action is not None
    assert snapshot.pending_action.message.startswith("waits for approval of 1530.00 USD until ")


async def test_a_change_opens_the_window_anew(shop: Storefront) -> None:
    order = await a_waiting_order(shop)
    before = (await order.snapshot()).approval.deadline
    assert before is not None

    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE))

    after = (await order.snapshot()).approval.deadline
    assert after is not None
    assert after > before


async def test_an_order_that_falls_below_the_threshold_goes_on_without_a_decision(
    shop: Storefront, world: World
) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_CHANGE_LINES, to(CHEAPER))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.balance == 90_000
    steps = {record.name: record.state for record in (await order.snapshot()).steps}
    assert steps[StepName.APPROVAL] is StepState.SKIPPED


async def test_an_order_that_rises_above_the_threshold_before_its_gate_waits_for_a_decision(shop: Storefront) -> None:
    order = await shop.place(an_order_spec(suspend=True))
    await order.holds_before_first_step()

    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE))
    await order.update(contract.UPDATE_RESUME)

    assert (await order.reaches(OrderStatus.AWAIT_APPROVAL)).approval.required


async def test_lines_changed_before_the_first_step_need_no_undoing(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(suspend=True))
    await order.holds_before_first_step()

    await order.update(contract.UPDATE_CHANGE_LINES, to(CHEAPER))

    assert world.calls == []
    assert (await order.snapshot()).total_minor == 90_000


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([a_line(sku="NO-SUCH-ARTICLE")], "InvalidOrder"),
        ([a_line(quantity=INITIAL_STOCK + 1, unit_price_minor=1)], "OutOfStock"),
        ([a_line(), a_line()], "InvalidOrder"),
        (
            [a_line(line_id=str(n), quantity=1_000_000, unit_price_minor=1_000_000_000) for n in range(10)],
            "InvalidOrder",
        ),
    ],
    ids=["unknown article", "more than there is", "one line id twice", "beyond the largest amount"],
)
async def test_lines_that_cannot_be_had_are_refused_and_the_earlier_ones_stay(
    shop: Storefront, world: World, lines: list[OrderLine], reason: str
) -> None:
    order = await a_waiting_order(shop)

    assert await order.refuses(contract.UPDATE_CHANGE_LINES, to(lines)) == reason

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    assert (await order.result()).total_minor == 150_000
    assert world.sold == {"PROD-001": 1}


async def test_a_refused_change_can_be_corrected(shop: Storefront, world: World) -> None:
    order = await a_waiting_order(shop)
    await order.refuses(contract.UPDATE_CHANGE_LINES, to([a_line(sku="NO-SUCH-ARTICLE")]))

    await order.update(contract.UPDATE_CHANGE_LINES, to(CHEAPER, generation=3))

    assert (await order.result()).total_minor == world.balance == 90_000


async def test_the_fraud_check_is_asked_about_the_new_total(shop: Storefront, world: World) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE))

    assert world.checked == [150_000, 153_000]


@pytest.mark.parametrize(
    ("activity", "error"),
    [("check_fraud", FraudSuspected("too much for this customer")), ("change_lines", OutOfStock("sold out"))],
)
async def test_a_change_that_is_refused_on_the_way_leaves_the_order_waiting(
    shop: Storefront, world: World, activity: str, error: OrderError
) -> None:
    order = await a_waiting_order(shop)
    world.fail(activity, error)

    assert await order.refuses(contract.UPDATE_CHANGE_LINES, to(MORE)) == type(error).__name__

    assert (await order.snapshot()).status is OrderStatus.AWAIT_APPROVAL


async def test_lines_are_fixed_once_the_order_is_decided_about(shop: Storefront, world: World) -> None:
    charge = world.hold("charge_payment")
    order = await a_waiting_order(shop)
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    await charge.reached.wait()

    assert await order.refuses(contract.UPDATE_CHANGE_LINES, to(MORE)) == "LinesFixed"

    charge.release()
    assert (await order.result()).total_minor == 150_000


async def test_an_early_approval_fixes_the_lines_too(shop: Storefront) -> None:
    order = await shop.place(BIG.model_copy(update={"suspend": True}))
    await order.holds_before_first_step()
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    assert await order.refuses(contract.UPDATE_CHANGE_LINES, to(MORE)) == "LinesFixed"


async def test_lines_are_fixed_behind_a_gate_that_was_not_needed(shop: Storefront, world: World) -> None:
    charge = world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()

    assert await order.refuses(contract.UPDATE_CHANGE_LINES, to(MORE)) == "LinesFixed"

    charge.release()
    await order.result()


async def test_without_a_gate_lines_are_fixed_when_charging_begins(shop: Storefront, world: World) -> None:
    ungated = a_policy(pipeline=["Receive", "ReserveStock", "ChargePayment", "Ship"], approval={"mode": "Never"})
    charge = world.hold("charge_payment")
    order = await shop.place(policy=ungated)
    await charge.reached.wait()

    assert await order.refuses(contract.UPDATE_CHANGE_LINES, to(CHEAPER)) == "LinesFixed"

    charge.release()
    await order.result()


async def test_a_decision_about_earlier_lines_is_refused(shop: Storefront) -> None:
    order = await a_waiting_order(shop)
    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE, generation=5))

    assert await order.refuses(contract.UPDATE_APPROVE, Decision(by="bob", generation=4)) == "StaleDecision"
    assert await order.refuses(contract.UPDATE_REJECT, Decision(by="bob", generation=4)) == "StaleDecision"

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", generation=5, total_minor=153_000))
    assert (await order.result()).total_minor == 153_000


async def test_a_decision_while_the_lines_are_being_changed_is_refused(shop: Storefront, world: World) -> None:
    shop.task_timeout = SHORT_TASK
    held = world.hold("change_lines")
    order = await a_waiting_order(shop)
    change = await order.begins(contract.UPDATE_CHANGE_LINES, to(MORE))
    await held.reached.wait()

    assert await order.refuses(contract.UPDATE_APPROVE, Decision(by="bob")) == "StaleDecision"

    held.release()
    await change.result()


async def test_a_cancel_while_the_lines_are_being_changed_frees_all_pieces(shop: Storefront, world: World) -> None:
    shop.task_timeout = SHORT_TASK
    held = world.hold("change_lines")
    order = await a_waiting_order(shop)
    change = await order.begins(contract.UPDATE_CHANGE_LINES, to(MORE))
    await held.reached.wait()

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    held.release()

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.untouched
    assert change is not None


async def test_two_changes_at_once_are_made_one_after_the_other(shop: Storefront, world: World) -> None:
    shop.task_timeout = SHORT_TASK
    held = world.hold("change_lines")
    order = await a_waiting_order(shop)
    first = await order.begins(contract.UPDATE_CHANGE_LINES, to(MORE))
    await held.reached.wait()
    second = await order.begins(contract.UPDATE_CHANGE_LINES, to(CHEAPER, generation=3))
    held.release()

    await first.result()
    await second.result()

    await order.result()
    assert world.balance == 90_000
    assert world.on_hand["PROD-002"] == INITIAL_STOCK


async def test_the_items_query_answers_with_the_changed_lines(shop: Storefront) -> None:
    order = await a_waiting_order(shop)
    await order.update(contract.UPDATE_CHANGE_LINES, to(MORE))

    items = await order.handle.query(contract.QUERY_ITEMS, result_type=list[OrderLine])

    assert [line.line_id for line in items] == ["1", "2"]


async def test_a_change_during_a_step_is_made_before_the_next(shop: Storefront, world: World) -> None:
    shop.task_timeout = SHORT_TASK
    held = world.hold("reserve_stock")
    order = await shop.place(BIG)
    await held.reached.wait()
    change = await order.begins(contract.UPDATE_CHANGE_LINES, to(MORE))
    held.release()

    await change.result()

    async def reserved() -> bool:
        return world.on_hand["PROD-002"] == INITIAL_STOCK - 3

    await eventually(reserved, "the added pieces held")


async def test_the_listed_items_follow_the_lines(shop: Storefront) -> None:
    policy = a_policy(pipeline=["Receive", "GetItems", "Approval"], approval={"mode": "Always"})
    order = await a_waiting_order(shop, policy=policy)

    await order.update(contract.UPDATE_CHANGE_LINES, to([a_line(line_id="9", sku="PROD-002")]))

    assert [item.sku for item in (await order.snapshot()).items] == ["PROD-002"]
