"""An order that is not carried out: the ledger halts it, lists what to undo, and refuses an end that its books deny."""

from datetime import timedelta

import pytest
from builders import a_line, a_policy, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront, eventually
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError

from order_domain.audit_note import NoteKind
from order_domain.errors import BooksDisagree, LedgerRefused, LedgerUnavailable, LinesDiffer, OperationConflict
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec
from order_domain.refusals import EndType
from order_domain.snapshot import CompensationState, StepState
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import HaltOrder, ReceiveOrder
from order_workflows.contract import CancelRequest, ResourceIdentity
from order_workflows.patches import LEDGER_DECIDES


def asking() -> OrderClassSpec:
    """Reserves, and then waits for a decision."""
    return a_policy(approval={"mode": "Always", "window_seconds": 3600})


def late_pivot(**changes: object) -> OrderClassSpec:
    """Nothing is past the pivot before the write-back, which comes after Ship."""
    pipeline = ["Receive", "ReserveStock", "PrepareShipment", "ChargePayment", "Ship", "UpdateOrderStatus", "Notify"]
    fields = {"pipeline": pipeline, "approval": {"mode": "Never"}, "compensation": {"pivot": "UpdateOrderStatus"}}
    return a_policy(**{**fields, **changes})


TWO_LINES = [
    a_line(line_id="1", sku="PROD-001", quantity=1, unit_price_minor=30_000),
    a_line(line_id="2", sku="PROD-002", quantity=2, unit_price_minor=10_000),
]


async def waiting(shop: Storefront) -> PlacedOrder:
    order = await shop.place(policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


async def fails_after_shipping(shop: Storefront, world: World) -> PlacedOrder:
    """An order of two lines whose write-back is refused after both have shipped."""
    world.fail("update_order_status", LedgerRefused("the books are closed"))
    return await shop.place(policy=late_pivot(), spec=an_order_spec(lines=TWO_LINES))


async def test_an_order_is_halted_before_anything_is_undone(shop: Storefront, world: World) -> None:
    order = await waiting(shop)

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.result()

    assert world.calls[world.calls.index("halt_order") :] == [
        "halt_order",
        "release_stock",
        "notify_customer",
        "close_order",
    ]


async def test_what_the_run_does_not_remember_is_undone_by_the_ledgers_list(shop: Storefront, world: World) -> None:
    order = await waiting(shop)
    world.charged[f"{order.uid}/charge"] = 50_000  # by a run that was reset since, or whose task was lost

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    result = await order.result()

    assert result.refund_id is not None
    assert world.untouched
    payment = (await order.snapshot()).payment
    assert payment is not None
    assert (payment.captured_minor, payment.refunded_minor) == (50_000, 50_000)


async def test_an_order_undone_from_memory_is_undone_by_the_ledgers_list_where_its_end_is_refused(
    shop: Storefront, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one is that a worker of an earlier release has brought so far."""
    patched = workflow.patched
    monkeypatch.setattr(workflow, "patched", lambda change: change != LEDGER_DECIDES and patched(change))
    world.fail("close_order", BooksDisagree("money is kept"), times=1)
    order = await waiting(shop)
    world.charged[f"{order.uid}/charge"] = 50_000

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    result = await order.result()

    assert (result.status, world.untouched) == (OrderStatus.ORDER_CANCELLED, True)


async def test_an_order_whose_units_are_sold_is_not_undone_but_goes_on(shop: Storefront, world: World) -> None:
    order = await waiting(shop)
    world.committed.add(order.uid)  # by a run that was reset since

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.balance == 50_000
    assert list(world.delivered) == ["1"]


async def test_the_first_halt_decides_how_an_order_ends(shop: Storefront, world: World) -> None:
    order = await waiting(shop)
    identity = ResourceIdentity(cluster="test", namespace="shop", name="x", uid=order.uid)
    received = ReceiveOrder(
        order=identity, operation_id="x", order_id="x", customer_id="x", currency="USD", total_minor=1
    )
    world.halts[order.uid] = HaltOrder(
        order=identity,
        operation_id="x",
        received=received,
        pivot_passed=False,
        status=OrderStatus.ORDER_REJECTED,
        error_type="Rejected",
        message="rejected by bob",
    )

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    result = await order.result()
    assert (result.status, result.message) == (OrderStatus.ORDER_REJECTED, "rejected by bob")


async def test_an_order_that_ended_in_the_ledger_is_not_undone_again(shop: Storefront, world: World) -> None:
    order = await waiting(shop)
    world.ends[order.uid] = OrderStatus.ORDER_EXPIRED

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_EXPIRED
    assert world.count("release_stock") == 0


async def test_a_line_whose_parcel_is_too_far_is_sold_and_the_rest_undone(shop: Storefront, world: World) -> None:
    world.delivered_at_once.add("1")
    order = await fails_after_shipping(shop, world)

    result = await order.result()

    assert result.status == OrderStatus.ORDER_COMPLETED
    snapshot = await order.snapshot()
    assert snapshot.last_error is not None
    assert snapshot.last_error.type == "CancelledInPart"
    assert (world.balance, world.sold_lines, list(world.delivered)) == (30_000, ["1"], ["1"])
    assert world.on_hand == {"PROD-001": 99, "PROD-002": 100}
    assert world.ends[order.uid] == OrderStatus.ORDER_COMPLETED


async def test_a_part_is_rounded_to_what_every_payment_company_counts_in_the_currency(
    shop: Storefront, world: World
) -> None:
    world.delivered_at_once.add("1")
    world.fail("update_order_status", LedgerRefused("the books are closed"))
    prices = zip(TWO_LINES, (1_005, 995), strict=True)
    lines = [line.model_copy(update={"quantity": 1, "unit_price_minor": price}) for line, price in prices]
    order = await shop.place(policy=late_pivot(), spec=an_order_spec(lines=lines, currency="KWD"))
    await order.result()

    assert [request.amount_minor for request in world.refund_requests] == [1_000]


async def test_the_customer_of_an_order_in_part_reads_what_was_refunded(shop: Storefront, world: World) -> None:
    world.delivered_at_once.add("1")
    order = await fails_after_shipping(shop, world)
    await order.result()

    [mail] = world.mails

    assert "carried out in part" in mail.subject
    assert "Refunded: 200.00 USD" in mail.body


async def test_an_order_whose_parcels_are_all_too_far_keeps_its_money(shop: Storefront, world: World) -> None:
    world.delivered_at_once |= {"1", "2"}
    order = await fails_after_shipping(shop, world)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    error = (await order.snapshot()).last_error
    assert error is not None
    assert error.type == "AlreadyShipped"
    assert world.balance == 50_000


async def test_money_and_units_of_a_line_wait_for_its_parcel_and_the_rest_does_not(
    shop: Storefront, world: World
) -> None:
    world.fail("cancel_shipment/1", OperationConflict("the carrier knows another parcel"))
    order = await fails_after_shipping(shop, world)

    review = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert review.last_error is not None
    assert "the carrier knows another parcel" in review.last_error.message
    assert (world.balance, world.on_hand["PROD-002"], world.on_hand["PROD-001"]) == (30_000, 100, 99)
    world.repair("cancel_shipment/1")
    await order.update(contract.UPDATE_RETRY)
    with pytest.raises(WorkflowFailureError):
        await order.result()
    assert world.untouched


async def test_an_end_that_the_books_deny_waits_for_a_person(shop: Storefront, world: World) -> None:
    world.fail("close_order", BooksDisagree("captured 50000, refunded 0, so it cannot end as Order Cancelled"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    review = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert review.last_error is not None
    assert review.last_error.type == "BooksDisagree"
    assert review.pending_action is not None
    assert "spec.retry" in review.pending_action.message
    world.repair("close_order")
    await order.update(contract.UPDATE_RETRY)
    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert [note.kind for note in world.notes] == [NoteKind.CANCELLED, NoteKind.RETRIED]


async def test_a_ledger_that_has_lost_the_order_undoes_nothing_by_a_guess(shop: Storefront, world: World) -> None:
    world.fail("halt_order", BooksDisagree("the run knows of 50000 captured, the ledger has no such order"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    review = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert review.compensation is CompensationState.FAILED
    assert world.ends == {}


async def test_manual_review_tries_again_by_itself_after_a_quarter_of_an_hour(shop: Storefront, world: World) -> None:
    world.fail("close_order", BooksDisagree("no"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    timers = [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
        for event in await order.events()
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED
    ]

    assert timers[-1] == timedelta(minutes=15)


async def test_an_order_that_is_to_end_without_a_ledger_says_so_and_ends_later(shop: Storefront, world: World) -> None:
    world.fail("halt_order", LedgerUnavailable("connection refused"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    shown = await order.reaches(OrderStatus.COMPENSATE_ORDER)

    assert shown.last_error is not None
    assert shown.last_error.type == "LedgerUnavailable"
    world.repair("halt_order")
    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED


async def test_an_end_that_waited_for_the_ledger_keeps_its_own_reason(shop: Storefront, world: World) -> None:
    world.fail("close_order", LedgerUnavailable("connection refused"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    async def waits_for_the_ledger() -> bool:
        error = (await order.snapshot()).last_error
        return error is not None and error.type == "LedgerUnavailable"

    await eventually(waits_for_the_ledger, "an end without a ledger")
    world.repair("close_order")
    await order.result()

    error = (await order.snapshot()).last_error
    assert error is not None
    assert error.type == EndType.CANCELLED


async def test_a_step_without_a_ledger_shows_its_attempts_and_can_be_cancelled(shop: Storefront, world: World) -> None:
    world.fail("receive_order", LedgerUnavailable("connection refused"))
    order = await shop.place()

    async def five_attempts() -> bool:
        steps = {step.name: step for step in (await order.snapshot()).steps}
        step = steps.get(StepName.RECEIVE)
        return step is not None and step.attempts >= 4 and "connection refused" in (step.last_error or "")

    await eventually(five_attempts, "attempts and their error")
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED


async def test_a_conflict_before_money_moves_waits_for_a_person(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", OperationConflict("charge x was asked for before with another amount"))
    order = await shop.place()

    await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert world.count("refund_payment") == 0
    world.repair("charge_payment")
    await order.update(contract.UPDATE_RETRY)
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_an_order_that_waits_for_a_person_can_still_be_cancelled(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", OperationConflict("charge x was asked for before with another amount"))
    order = await shop.place()
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.untouched


async def test_a_ledger_with_other_lines_is_told_those_of_the_order(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", LinesDiffer("the ledger holds other lines"), times=1)
    order = await shop.place()

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert world.count("change_lines") == 1


async def test_a_cancellation_counts_though_the_attempt_under_way_fails(shop: Storefront, world: World) -> None:
    hold = world.hold("charge_payment")
    world.fail("charge_payment", LedgerRefused("no"))
    order = await shop.place()
    await hold.reached.wait()
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    hold.release()

    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    assert "no" in (result.message or "")


async def test_the_customer_of_a_failed_order_is_told_what_happened_to_the_money(
    shop: Storefront, world: World
) -> None:
    world.fail("ship_line", LedgerRefused("no"))
    order = await shop.place()
    with pytest.raises(WorkflowFailureError):
        await order.result()

    [mail] = world.mails

    assert "has failed" in mail.subject
    assert "Charged: 500.00 USD\nRefunded: 500.00 USD" in mail.body


async def test_who_cancelled_is_on_its_way_into_the_audit_trail(shop: Storefront, world: World) -> None:
    order = await waiting(shop)

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana", reason="no longer wanted"))
    await order.result()

    [note] = world.notes
    assert (note.kind, note.by, note.reason, note.channel) == ("cancelled", "ana", "no longer wanted", "temporal")
    assert note.total_minor == 50_000


async def test_steps_that_only_the_ledger_knows_are_shown_as_undone(shop: Storefront, world: World) -> None:
    order = await waiting(shop)
    world.charged[f"{order.uid}/charge"] = 50_000

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.result()

    states = {step.name: step.state for step in (await order.snapshot()).steps}
    assert states[StepName.RESERVE_STOCK] is StepState.COMPENSATED
    assert StepName.CHARGE_PAYMENT in states


@pytest.mark.parametrize("lines", [200])
async def test_many_lines_are_shipped_few_at_a_time(shop: Storefront, world: World, lines: int) -> None:
    spec = an_order_spec(lines=[a_line(line_id=str(number), quantity=1, unit_price_minor=1) for number in range(lines)])
    world.on_hand["PROD-001"] = lines
    order = await shop.place(spec=spec)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert len(world.parcels) == lines
    assert world.most_at_once["ship_line"] <= 20


async def test_no_more_than_twenty_lines_are_asked_for_at_once(shop: Storefront, world: World) -> None:
    spec = an_order_spec(lines=[a_line(line_id=str(number), quantity=1, unit_price_minor=1) for number in range(30)])
    hold = world.hold("ship_line")
    order = await shop.place(spec=spec)
    await hold.reached.wait()

    # All that may be asked for at once is scheduled by one workflow task.
    assert (await order.scheduled()).count("ship_line") == 20

    world.release_all()
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


def test_every_effect_belongs_to_a_step_with_an_undo() -> None:
    from order_workflows.pipeline import STEP_OF_EFFECT  # noqa: PLC0415

    assert set(STEP_OF_EFFECT) == set(EffectKind)
    assert all(step.undo is not None or kind is EffectKind.SHIP for kind, step in STEP_OF_EFFECT.items())


async def test_a_completed_order_whose_end_was_repaired_does_not_speak_of_compensation(
    shop: Storefront, world: World
) -> None:
    """`CompensationFailed` stayed True."""
    world.fail("close_order", BooksDisagree("captured 50000, owed 40000"))
    order = await shop.place()
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.repair("close_order")
    await order.update(contract.UPDATE_RETRY)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert (await order.snapshot()).compensation is None


async def test_an_order_that_was_undone_says_so_still_once_its_end_was_repaired(shop: Storefront, world: World) -> None:
    world.fail("close_order", BooksDisagree("no"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.repair("close_order")
    await order.update(contract.UPDATE_RETRY)

    await order.result()
    assert (await order.snapshot()).compensation is CompensationState.DONE


async def test_what_a_person_has_undone_counts_as_undone(shop: Storefront, world: World) -> None:
    """The step said `CompensationFailed`, and the resource `Reserved`, of an order that had ended."""
    world.fail("release_stock", OperationConflict("the units are not those that were held"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.reserved.clear()
    await order.update(contract.UPDATE_RETRY)

    await order.result()
    shown = await order.snapshot()
    assert shown.compensation is CompensationState.DONE
    assert StepState.COMPENSATION_FAILED not in {step.state for step in shown.steps}


async def test_an_order_with_nothing_to_undo_says_so_once_its_halt_was_repaired(shop: Storefront, world: World) -> None:
    """`Compensated` stayed False: it was never told that the undoing had come to its end."""
    world.fail("halt_order", BooksDisagree("the run knows of 50000 captured, the ledger has no such order"))
    order = await waiting(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.repair("halt_order")
    world.reserved.clear()
    await order.update(contract.UPDATE_RETRY)

    await order.result()
    assert (await order.snapshot()).compensation is CompensationState.DONE
