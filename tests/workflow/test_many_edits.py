"""An order that is changed again and again, as where two programs each set what they want."""

import asyncio

import pytest
from builders import a_line, an_address, an_order_spec
from fake_activities import World
from real_shop import RealShop, shipping_class
from storefront import UPDATES_AT_ONCE, PlacedOrder, Storefront, eventually

from order_domain.errors import ProviderUnavailable
from order_domain.order import ChargeKind, OrderCharge
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_workflows import acceptance, contract
from order_workflows.acceptance import MAX_EDITS
from order_workflows.contract import AddressChange, CancelRequest, Decision, LinesChange
from order_workflows.reference_messages import UPDATE_ORDER, NewAddress

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])


async def changed_as_often_as_possible(order: PlacedOrder) -> None:
    """By turns another address, other lines, suspended, resumed."""
    left = iter(range(MAX_EDITS // 4))

    async def change() -> None:
        for number in left:
            address = an_address(line1=f"{number} Main Street")
            await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=address))
            lines = [a_line(unit_price_minor=150_000 + number)]
            await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=lines))
            await order.update(contract.UPDATE_SUSPEND)
            await order.update(contract.UPDATE_RESUME)

    await asyncio.gather(*(change() for _ in range(UPDATES_AT_ONCE)))


async def test_streets_in_the_form_of_system_000_are_edits_as_well(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    left = iter(range(MAX_EDITS))

    async def change() -> None:
        for number in left:
            await order.update(UPDATE_ORDER, NewAddress(address=f"{number} Main Street"))

    await asyncio.gather(*(change() for _ in range(UPDATES_AT_ONCE)))

    assert await order.refuses(UPDATE_ORDER, NewAddress(address="1 High Street")) == "TooManyEdits"


async def test_an_order_whose_lines_are_edited_again_and_again_while_a_step_is_tried_hears_a_cancellation(
    shop: Storefront, world: World
) -> None:
    """Temporal takes no Update while ten are not answered."""
    world.fail("check_fraud", ProviderUnavailable("away"))
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.CHECK_FRAUD)
    for number in range(12):
        lines = [a_line(unit_price_minor=150_000 + number)]
        await order.begins(contract.UPDATE_CHANGE_LINES, LinesChange(lines=lines))

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    await shop.record("lines-overtaken", order)


async def test_charges_of_a_change_that_gave_way_come_into_force_with_a_later_one(
    shop: Storefront, world: World
) -> None:
    """Lines of the later ones came into force with the charges of before."""
    world.fail("check_fraud", ProviderUnavailable("away"))
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.CHECK_FRAUD)
    shipping = OrderCharge(charge_id="ship", kind=ChargeKind.SHIPPING, amount_minor=500)
    await order.begins(contract.UPDATE_CHANGE_LINES, LinesChange(lines=BIG.lines, charges=[shipping]))
    for number in range(1, 9):
        lines = [a_line(unit_price_minor=150_000 + number)]
        await order.begins(contract.UPDATE_CHANGE_LINES, LinesChange(lines=lines))

    world.repair("check_fraud")

    assert (await order.reaches(OrderStatus.AWAIT_APPROVAL)).total_minor == 150_508


async def test_an_order_that_was_changed_a_thousand_times_still_hears_a_decision(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await changed_as_often_as_possible(order)

    one_more = AddressChange(address=an_address())
    assert await order.refuses(contract.UPDATE_CHANGE_ADDRESS, one_more) == "TooManyEdits"
    assert await order.refuses(contract.UPDATE_CHANGE_LINES, LinesChange(lines=BIG.lines)) == "TooManyEdits"
    assert await order.refuses(contract.UPDATE_SUSPEND) == "TooManyEdits"

    total = (await order.snapshot()).total_minor
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=total))
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_an_order_with_a_long_history_refuses_edits_and_hears_a_decision(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edits by Signal had no bound, and large ones came to Temporal's bound of bytes before they were a thousand."""
    monkeypatch.setattr(acceptance, "EDIT_EVENTS", 5)
    pipeline = ["Receive", "Validate", "ReserveStock", "Approval", "ChargePayment", "Ship"]
    order = await real.place(policy=shipping_class(pipeline, approval={"mode": "Always"}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    by_update = await order.refuses(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address()))
    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, an_address())

    shown = OrderSnapshot()

    async def told() -> bool:
        nonlocal shown
        shown = await order.snapshot()
        return shown.last_refusal is not None

    await eventually(told, "refused")
    assert by_update == "TooManyEdits"
    assert shown.last_refusal is not None
    assert shown.last_refusal.reason.startswith("TooManyEdits: ")
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=shown.total_minor))
    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
