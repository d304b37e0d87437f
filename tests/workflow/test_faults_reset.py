"""An order whose run is reset, on the product's own worker: what exists is undone or kept, never forgotten."""

from contextlib import suppress
from functools import partial

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from real_shop import NOTHING_REAPPLIED, PIECES, SHIPPING, RealShop, shipping_class
from sqlalchemy import update
from storefront import PlacedOrder, eventually
from temporalio.api.enums.v1 import EventType
from temporalio.service import RPCError

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_workflows import contract
from order_workflows.contract import AddressChange, CancelRequest, Decision, LinesChange

APPROVED_SHIPPING = ["Receive", "Validate", "Approval", "ReserveStock", "ChargePayment", "Ship"]
REAPPLIED: tuple[int, ...] = ()
MESSAGES = pytest.mark.parametrize("exclude", [REAPPLIED, NOTHING_REAPPLIED], ids=["reapplied", "not-reapplied"])
POINTS = pytest.mark.parametrize("before", [None, "charge_payment"], ids=["first-task", "before-charge"])


async def cancelled_without_refund(real: RealShop, pipeline: list[str]) -> PlacedOrder:
    """Charged and cancelled; the payment company gives nothing back, and somebody has to look."""
    gate = real.carrier.holds("dispatch")
    real.payments.is_down_for("refund")
    order = await real.place(policy=shipping_class(pipeline))
    await real.shows_step(order, StepName.SHIP)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    gate.set()
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    return order


async def shipped_nothing_and_refunded(real: RealShop, pipeline: list[str]) -> PlacedOrder:
    """The carrier answers nothing: whether it has a parcel is not known, somebody has to look."""
    real.carrier.is_down_for("dispatch", "find", "cancel")
    order = await real.place(policy=shipping_class(pipeline))
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    return order


async def ends_when_asked(real: RealShop, order: PlacedOrder) -> str:
    """The end; a run that was reset to a task after its refund had failed still waits, and is asked to try again."""
    await order.ends_or_waits()
    if (await order.snapshot()).status is OrderStatus.MANUAL_REVIEW:
        with suppress(RPCError):  # the request to try again was reapplied, and the run has ended meanwhile
            await order.update(contract.UPDATE_RETRY)
    return await real.ends(order)


@MESSAGES
@POINTS
async def test_a_cancelled_order_that_is_reset_before_it_charges_gives_back_what_was_charged(
    real: RealShop, before: str | None, exclude: tuple[int, ...]
) -> None:
    order = await cancelled_without_refund(real, SHIPPING)
    assert (await real.books(order)).kept == 50_000
    real.payments.recovers()
    real.carrier.recovers()

    again = await real.reset(order, before=before, exclude=exclude)

    assert await real.ends(again) == OrderStatus.ORDER_CANCELLED
    await real.kept_nothing(order)
    payment = (await again.snapshot()).payment
    assert payment is not None
    assert (payment.captured_minor, payment.refunded_minor) == (50_000, 50_000)


async def test_the_mail_about_a_cancelled_order_that_was_reset_tells_a_refund_that_was_made(real: RealShop) -> None:
    order = await cancelled_without_refund(real, [*SHIPPING, "Notify"])
    real.payments.recovers()
    real.carrier.recovers()

    again = await real.reset(order)

    assert await real.ends(again) == OrderStatus.ORDER_CANCELLED
    (mail,) = await real.provider_rows("mails")
    assert "Refunded: 500.00 USD" in mail["body"]
    await real.kept_nothing(order)


@MESSAGES
@pytest.mark.parametrize(
    "pipeline", [SHIPPING, ["Receive", "Validate", "ChargePayment", "Ship"]], ids=["reserved", "not-reserved"]
)
async def test_an_order_that_is_undone_is_not_shipped_by_a_reset_to_before_ship(
    real: RealShop, pipeline: list[str], exclude: tuple[int, ...]
) -> None:
    order = await shipped_nothing_and_refunded(real, pipeline)
    real.carrier.recovers()

    again = await real.reset(order, before="ship_line", exclude=exclude)

    assert await real.ends(again) == OrderStatus.ORDER_FAILED
    await real.kept_nothing(order)


@pytest.mark.long
@MESSAGES
async def test_a_completed_order_that_is_reset_to_any_task_is_paid_shipped_and_sold_once(
    real: RealShop, exclude: tuple[int, ...]
) -> None:
    order = await real.place(policy=shipping_class([*SHIPPING, "Notify"]))
    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED

    first_run = (await order.handle.describe()).run_id
    for task in await real.tasks(order):
        again = await real.reset_to(order, first_run, task, exclude)
        assert await real.ends(again) == OrderStatus.ORDER_COMPLETED
        await real.carried_out(order, total=50_000)
    assert len(await real.provider_rows("mails")) == 1


@pytest.mark.long
@MESSAGES
async def test_an_order_that_was_undone_and_is_reset_to_any_task_stays_undone(
    real: RealShop, exclude: tuple[int, ...]
) -> None:
    order = await cancelled_without_refund(real, [*SHIPPING, "Notify"])
    real.payments.recovers()
    real.carrier.recovers()
    await order.update(contract.UPDATE_RETRY)
    assert await real.ends(order) == OrderStatus.ORDER_CANCELLED

    first_run = (await order.handle.describe()).run_id
    for task in await real.tasks(order):
        again = await real.reset_to(order, first_run, task, exclude)
        assert await ends_when_asked(real, again) == OrderStatus.ORDER_CANCELLED
        await real.kept_nothing(order)


@pytest.mark.long
@MESSAGES
async def test_an_order_that_waits_for_a_person_can_be_reset_to_any_task(
    real: RealShop, exclude: tuple[int, ...]
) -> None:
    first = await cancelled_without_refund(real, SHIPPING)
    number = len(await real.tasks(first))
    await first.handle.terminate("only its length was of interest")

    for place in range(number):
        order = await cancelled_without_refund(real, SHIPPING)
        task = (await real.tasks(order))[place]
        real.payments.recovers()
        real.carrier.recovers()
        again = await real.reset_to(order, (await order.handle.describe()).run_id, task, exclude)
        assert await ends_when_asked(real, again) == OrderStatus.ORDER_CANCELLED
        await real.kept_nothing(order)


async def test_a_run_of_an_order_that_the_ledger_holds_as_completed_asks_nobody_and_shows_its_figures(
    real: RealShop,
) -> None:
    """B46: it waited for approval again, and a No ended as Rejected with the money kept."""
    spec = an_order_spec(lines=[a_line(unit_price_minor=100)])
    order = await real.place(spec, policy=a_policy(pipeline=APPROVED_SHIPPING, approval={"mode": "Always"}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=100, currency="USD"))
    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED

    again = await real.reset(order, exclude=NOTHING_REAPPLIED)

    assert await real.ends(again) == OrderStatus.ORDER_COMPLETED
    shown = await again.snapshot()
    assert shown.payment is not None
    assert (shown.payment.captured_minor, shown.payment.refunded_minor, shown.progress) == (100, 0, 100)
    await real.carried_out(again, total=100)


@MESSAGES
async def test_a_paid_order_that_is_reset_after_its_address_was_refused_is_shipped_to_the_next_one(
    real: RealShop, exclude: tuple[int, ...]
) -> None:
    """The run has forgotten that its first try was refused: asked for again it was a conflict for ever."""
    policy = shipping_class(compensation={"pivot": StepName.CHARGE_PAYMENT})
    order = await real.place(an_order_spec(shipping_address=an_address(postal_code="00000")), policy=policy)
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address()))

    order = await real.reset(order, exclude=exclude)
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    if exclude:
        await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address()))
    await order.update(contract.UPDATE_RETRY)

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=50_000)


async def test_an_order_that_holds_the_last_units_is_not_refused_for_want_of_them_after_a_reset(real: RealShop) -> None:
    """It was undone, since too few units were free beside its own."""
    pipeline = ["Receive", "Validate", "Enrich", "ReserveStock", "Approval", "ChargePayment", "UpdateOrderStatus"]
    everything = an_order_spec(lines=[a_line(quantity=PIECES, unit_price_minor=1)])
    order = await real.place(everything, policy=a_policy(pipeline=pipeline, approval={"mode": "Always"}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    order = await real.reset(order, exclude=NOTHING_REAPPLIED)
    await order.ends_or_waits()
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=PIECES))

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED


async def test_a_backorder_that_is_reset_asks_for_its_units_and_not_for_the_answers_of_before(real: RealShop) -> None:
    """It waited as long as the run before had waited, or until it expired, beside units that were there."""
    one_too_many = an_order_spec(lines=[a_line(quantity=PIECES + 1, unit_price_minor=1)])
    patient = shipping_class(inventory={"on_shortage": "Backorder", "backorder_seconds": 3600})
    order = await real.place(one_too_many, policy=patient)
    for attempts in (1, 2, 3):
        await eventually(partial(has_asked_for_units, real, attempts), "an attempt")
        await order.handle.signal(contract.SIGNAL_STOCK_ARRIVED)
    await eventually(partial(has_asked_for_units, real, 4), "the last attempt")
    more = {"on_hand": PIECES + 1, "restocked": 1}
    one = update(tables.stock).where(tables.stock.c.sku == "PROD-001").values(**more)
    await real.ledger.transaction(lambda tx: tx.execute(one))

    order = await real.reset(order, exclude=NOTHING_REAPPLIED)

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED


async def has_asked_for_units(real: RealShop, times: int) -> bool:
    return sum(row["kind"] == "reserve" for row in await real.rows(tables.operations)) >= times


async def test_an_order_that_was_reset_and_got_another_address_than_its_parcel_can_be_put_right(real: RealShop) -> None:
    """The address could not be put back, and no attempt could succeed: it waited for a person for ever."""
    pipeline = ["Receive", "Validate", "ReserveStock", "ChargePayment", "AddressWindow", "Ship"]
    order = await real.place(policy=shipping_class(pipeline, address_window={"seconds": 3600}))
    await order.reaches(OrderStatus.AWAIT_ADDRESS)
    shipped_to, another = an_address(line1="742 Evergreen Terrace"), an_address(line1="1 High Street")
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=shipped_to))
    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    order = await real.reset(order, before="ship_line", exclude=NOTHING_REAPPLIED)
    await order.reaches(OrderStatus.AWAIT_ADDRESS)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=another))
    await order.reaches(OrderStatus.MANUAL_REVIEW)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=shipped_to))
    await order.update(contract.UPDATE_RETRY)

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=50_000)
    await real.record("address-put-back", order)


async def test_an_order_that_is_reset_while_its_shipment_is_under_way_waits_for_it(real: RealShop) -> None:
    """A second workflow for the line could not be started: the order was undone, and its parcel called back."""
    gate = real.carrier.holds("dispatch")
    shipping = {"mode": "ChildWorkflows", "task_queue": real.task_queue, "parent_close_policy": "Abandon"}
    order = await real.place(policy=shipping_class(shipping=shipping))
    await real.shows_step(order, StepName.SHIP)
    await eventually(lambda: asked(real, "dispatch"), "the carrier was asked")

    order = await real.reset(order)
    await real.shows_step(order, StepName.SHIP)
    gate.set()

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=50_000)


@pytest.mark.parametrize("first", [1, PIECES + 1], ids=["units-held", "units-awaited"])
async def test_edits_that_a_reset_makes_again_are_in_force_again(real: RealShop, first: int) -> None:
    """Each was refused, since others were in force by now: the order was charged as it was first placed."""
    pipeline = ["Receive", "Validate", "ReserveStock", "Approval", "ChargePayment", "UpdateOrderStatus"]
    policy = a_policy(
        pipeline=pipeline,
        approval={"mode": "Always"},
        inventory={"on_shortage": "Backorder", "backorder_seconds": 3600},
    )
    order = await real.place(an_order_spec(lines=[a_line(quantity=first, unit_price_minor=1)]), policy=policy)
    await order.ends_or_waits()
    for quantity in (2, 3):
        change = LinesChange(lines=[a_line(quantity=quantity, unit_price_minor=1)])
        await order.update(contract.UPDATE_CHANGE_LINES, change)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    run = (await order.handle.describe()).run_id
    order = await real.reset_to(order, run, await before_the_first_update(real, order))
    await eventually(partial(costs, order, 3), "both edits")
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=3))

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=3, units=3, parcels=0)


async def test_an_edit_that_a_reset_has_forgotten_can_be_made_again(real: RealShop) -> None:
    """It was refused, as one that was made before and that another had followed."""
    pipeline = ["Receive", "Validate", "ReserveStock", "Approval", "ChargePayment", "UpdateOrderStatus"]
    policy = a_policy(pipeline=pipeline, approval={"mode": "Always"})
    order = await real.place(an_order_spec(lines=[a_line(unit_price_minor=1)]), policy=policy)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    first, second = (LinesChange(lines=[a_line(quantity=quantity, unit_price_minor=1)]) for quantity in (2, 3))
    await order.update(contract.UPDATE_CHANGE_LINES, first)
    await order.update(contract.UPDATE_CHANGE_LINES, second)

    run = (await order.handle.describe()).run_id
    order = await real.reset_to(order, run, await before_the_first_update(real, order), NOTHING_REAPPLIED)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_CHANGE_LINES, first)
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=2))

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=2, units=2, parcels=0)
    await real.record("lines-repeated", order)


async def before_the_first_update(real: RealShop, order: PlacedOrder) -> int:
    accepted = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    first = next(event.event_id for event in await order.events() if event.event_type == accepted)
    return max(task for task in await real.tasks(order) if task < first)


async def costs(order: PlacedOrder, total_minor: int) -> bool:
    return (await order.snapshot()).total_minor == total_minor


async def asked(real: RealShop, name: str) -> bool:
    return real.carrier.asked.get(name, 0) > 0
