"""A step that fails for good: what was done is undone, in reverse, and nothing else."""

import pytest
from builders import a_line, a_policy, an_order_spec
from fake_activities import INITIAL_STOCK, World
from storefront import PlacedOrder, Storefront, eventually
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from order_domain.errors import (
    FraudSuspected,
    LedgerRefused,
    OperationConflict,
    OrderError,
    PaymentDeclined,
    ProviderUnavailable,
    Undeliverable,
)
from order_domain.pipeline import StepName
from order_domain.snapshot import CompensationState, StepState
from order_domain.status import OrderStatus
from order_workflows import contract

UNDOS = ["cancel_shipment", "refund_payment", "release_stock"]


async def failure_type(order: PlacedOrder) -> str | None:
    """Error type of a run that is to fail."""
    with pytest.raises(WorkflowFailureError) as failed:
        await order.result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.type


def undos(world: World) -> list[str]:
    return [call for call in world.calls if call in UNDOS]


async def test_a_declined_payment_fails_the_run_after_one_attempt(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", PaymentDeclined("insufficient funds"))
    order = await shop.place()

    assert await failure_type(order) == "PaymentDeclined"

    await shop.record("declined", order)
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.FAILED
    assert world.count("charge_payment") == 1


async def test_a_declined_payment_releases_the_stock(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", PaymentDeclined("insufficient funds"))
    order = await shop.place()

    await failure_type(order)

    assert world.count("release_stock") == 1
    assert world.untouched


async def test_a_declined_payment_is_shown_at_its_step(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", PaymentDeclined("insufficient funds"))
    order = await shop.place()
    await failure_type(order)

    snapshot = await order.snapshot()

    assert snapshot.status is OrderStatus.ORDER_FAILED
    assert snapshot.last_error is not None
    assert snapshot.last_error.type == "PaymentDeclined"
    steps = {record.name: record for record in snapshot.steps}
    assert steps[StepName.CHARGE_PAYMENT].state is StepState.FAILED
    assert steps[StepName.CHARGE_PAYMENT].attempts == 1
    assert steps[StepName.CHARGE_PAYMENT].last_error == "insufficient funds"
    assert steps[StepName.RESERVE_STOCK].state is StepState.COMPENSATED


async def test_a_failed_delivery_refunds_then_releases(shop: Storefront, world: World) -> None:
    world.fail("ship_line", Undeliverable("no such street"))
    order = await shop.place()

    assert await failure_type(order) == "Undeliverable"

    await shop.record("undeliverable", order)
    assert undos(world)[-2:] == ["refund_payment", "release_stock"]
    assert world.untouched


async def test_a_refund_is_the_whole_charge_and_is_shown(shop: Storefront, world: World) -> None:
    world.fail("ship_line", Undeliverable("no such street"))
    order = await shop.place()
    await failure_type(order)

    payment = (await order.snapshot()).payment

    assert payment is not None
    assert payment.captured_minor == payment.refunded_minor == 50_000
    assert payment.refund_id == f"REFUND-{order.uid[:8]}"
    assert world.refund_reasons == ["Undeliverable"]


async def test_a_refund_says_what_the_run_knows_of_the_charge(shop: Storefront, world: World) -> None:
    world.fail("ship_line", Undeliverable("no such street"))
    order = await shop.place()
    await failure_type(order)

    [request] = world.refund_requests
    assert (request.transaction_id, request.captured_minor, request.amount_minor) == (
        f"TXN-{order.uid[:8]}",
        50_000,
        50_000,
    )


async def test_when_one_of_three_lines_cannot_be_delivered_the_others_are_called_back(
    shop: Storefront, world: World
) -> None:
    world.fail("ship_line/2", Undeliverable("too heavy"))
    order = await shop.place(an_order_spec(lines=[a_line(line_id=str(n), unit_price_minor=100) for n in (1, 2, 3)]))

    await failure_type(order)

    assert {parcel.line_id for parcel in world.parcels.values()} == {"1", "3"}
    assert world.delivered == {}
    assert {record.line_id: record.state for record in (await order.snapshot()).shipments} == {
        "1": "Cancelled",
        "3": "Cancelled",
    }


@pytest.mark.parametrize(
    ("activity", "undone"),
    [
        ("receive_order", []),
        ("validate_lines", []),
        ("check_fraud", []),
        ("reserve_stock", []),
        ("charge_payment", ["release_stock"]),
        ("ship_line", ["refund_payment", "release_stock"]),
    ],
)
async def test_a_step_that_fails_for_good_undoes_exactly_what_happened_before_it(
    shop: Storefront, world: World, activity: str, undone: list[str]
) -> None:
    world.fail(activity, LedgerRefused("broken for good"))
    order = await shop.place()

    assert await failure_type(order) == "LedgerRefused"

    assert undos(world) == undone
    assert world.untouched
    assert world.ends[order.uid] == OrderStatus.ORDER_FAILED


@pytest.mark.parametrize("activity", ["reserve_stock", "charge_payment", "ship_line"])
async def test_a_step_whose_attempts_are_used_up_fails_the_order_with_the_attempts_shown(
    shop: Storefront, world: World, activity: str
) -> None:
    twice = a_policy(retry={"default": {"max_attempts": 2}})
    world.fail(activity, ProviderUnavailable("still down"))
    order = await shop.place(policy=twice)

    assert await failure_type(order) == "ProviderUnavailable"

    assert world.untouched
    assert (await order.snapshot()).steps[-1].attempts == 2


ONE_ATTEMPT = a_policy(retry={"default": {"max_attempts": 1}})


@pytest.mark.parametrize("activity", ["reserve_stock", "charge_payment", "ship_line"])
async def test_what_happened_without_an_answer_is_undone(shop: Storefront, world: World, activity: str) -> None:
    world.lose_answers(activity)
    order = await shop.place(policy=ONE_ATTEMPT)

    assert await failure_type(order) == "ProviderUnavailable"

    assert world.untouched


@pytest.mark.parametrize("activity", ["reserve_stock", "charge_payment", "ship_line"])
async def test_what_happened_without_an_answer_happens_once(shop: Storefront, world: World, activity: str) -> None:
    world.lose_answers(activity, times=1)
    order = await shop.place()

    await order.result()

    assert world.count(activity) == 2
    assert world.on_hand["PROD-001"] == INITIAL_STOCK - 1
    assert len(world.charged) == len(world.parcels) == 1


async def test_the_refund_of_a_charge_without_an_answer_is_shown(shop: Storefront, world: World) -> None:
    world.lose_answers("charge_payment")
    order = await shop.place(policy=ONE_ATTEMPT)
    await failure_type(order)

    payment = (await order.snapshot()).payment

    assert world.refunded
    assert payment is not None
    assert payment.captured_minor == payment.refunded_minor == 50_000
    assert payment.transaction_id == f"TXN-{order.uid[:8]}"


@pytest.mark.parametrize(
    ("activity", "error", "status"),
    [
        ("validate_lines", None, OrderStatus.ORDER_INVALID),
        ("check_fraud", FraudSuspected("stolen card"), OrderStatus.ORDER_REJECTED),
    ],
)
async def test_an_answer_of_business_ends_the_order_as_a_completed_run(
    shop: Storefront, world: World, activity: str, error: OrderError | None, status: OrderStatus
) -> None:
    if error is not None:
        world.fail(activity, error)
    sku = "NO-SUCH-ARTICLE" if error is None else "PROD-001"
    order = await shop.place(an_order_spec(lines=[a_line(sku=sku)]))

    result = await order.result()

    assert result.status == status
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert (await order.snapshot()).status is status
    assert world.untouched
    assert {"reserve_stock", "charge_payment", "ship_line"}.isdisjoint(world.calls), "nothing was even tried"


async def test_an_order_beyond_the_stock_fails_and_takes_nothing(shop: Storefront, world: World) -> None:
    lines = [
        a_line(line_id="1", sku="PROD-001", unit_price_minor=1),
        a_line(line_id="2", sku="PROD-002", quantity=INITIAL_STOCK + 1, unit_price_minor=1),
    ]
    order = await shop.place(an_order_spec(lines=lines))

    assert await failure_type(order) == "OutOfStock"

    assert world.untouched


async def test_progress_never_falls_while_an_order_is_undone(shop: Storefront, world: World) -> None:
    world.fail("ship_line", Undeliverable("no such street"))
    order = await shop.place()
    await failure_type(order)

    shown = [snapshot.progress for snapshot in await order.published()]

    assert shown == sorted(shown)
    assert shown[-1] < 100


async def test_an_undo_that_fails_for_good_leads_to_manual_review_with_the_others_done(
    shop: Storefront, world: World
) -> None:
    world.fail("ship_line", Undeliverable("no such street"))
    world.fail("refund_payment", OperationConflict("the ledger knows another amount"))
    order = await shop.place()

    snapshot = await order.reaches(OrderStatus.MANUAL_REVIEW)

    assert undos(world) == ["refund_payment", "release_stock"]
    assert world.on_hand["PROD-001"] == INITIAL_STOCK
    assert snapshot.compensation is CompensationState.FAILED
    assert snapshot.pending_action is not None
    assert snapshot.pending_action.kind == "Resume"
    states = {record.name: record.state for record in snapshot.steps}
    assert states[StepName.CHARGE_PAYMENT] is StepState.COMPENSATION_FAILED
    assert states[StepName.RESERVE_STOCK] is StepState.COMPENSATED


async def test_resume_after_the_repair_finishes_a_manual_review_with_the_first_cause(
    shop: Storefront, world: World
) -> None:
    world.fail("ship_line", Undeliverable("no such street"))
    world.fail("refund_payment", OperationConflict("the ledger knows another amount"))
    order = await shop.place()
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    world.repair("refund_payment")
    await order.update(contract.UPDATE_RESUME)

    assert await failure_type(order) == "Undeliverable"
    await shop.record("manual-review", order)
    assert world.count("release_stock") == 1
    assert world.untouched
    snapshot = await order.snapshot()
    assert snapshot.compensation is CompensationState.DONE
    assert snapshot.pending_action is None


async def test_resume_without_a_repair_returns_to_manual_review(shop: Storefront, world: World) -> None:
    world.fail("ship_line", Undeliverable("no such street"))
    world.fail("refund_payment", OperationConflict("the ledger knows another amount"))
    order = await shop.place()
    first = await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_RESUME)

    async def asked_again() -> bool:
        return world.count("refund_payment") == 2

    await eventually(asked_again, "a second refund")
    second = await order.reaches(OrderStatus.MANUAL_REVIEW)
    assert second.seq > first.seq


async def test_a_local_undo_that_fails_for_good_leads_to_manual_review_too(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", PaymentDeclined("insufficient funds"))
    world.fail("release_stock", OperationConflict("the ledger knows another reservation"))
    order = await shop.place()

    snapshot = await order.reaches(OrderStatus.MANUAL_REVIEW)

    states = {record.name: record.state for record in snapshot.steps}
    assert states[StepName.RESERVE_STOCK] is StepState.COMPENSATION_FAILED


async def test_after_the_parcels_have_left_nothing_is_undone(shop: Storefront, world: World) -> None:
    world.fail("commit_stock", OperationConflict("the ledger knows another reservation"))
    order = await shop.place()

    async def asked() -> bool:
        return world.count("commit_stock") > 0

    await eventually(asked, "a commit")
    await order.ends_or_waits()

    assert undos(world) == []
    assert world.balance == 50_000
    assert set(world.delivered) == {"1"}
