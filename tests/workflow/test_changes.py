"""Address, suspend and resume of a running order."""

from builders import a_line, an_address, an_order_spec
from fake_activities import World
from storefront import Storefront, eventually

from order_domain.audit_note import NoteKind
from order_domain.order import Address
from order_domain.pipeline import StepName
from order_domain.snapshot import OrderSnapshot
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import AddressChange, Decision, LinesChange

ELSEWHERE = an_address(line1="742 Evergreen Terrace", city="Shelbyville")
BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])


async def test_a_change_of_address_before_shipping_is_used(shop: Storefront, world: World) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    await order.result()

    assert world.delivered == {"1": ELSEWHERE}


async def test_a_change_of_address_is_shown_at_once(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE))

    snapshot = await order.snapshot()
    assert snapshot.shipping_address == ELSEWHERE
    assert snapshot.status is OrderStatus.AWAIT_APPROVAL


async def test_a_change_of_address_by_signal_is_used(shop: Storefront, world: World) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, ELSEWHERE)
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    await order.result()

    assert world.delivered == {"1": ELSEWHERE}


async def test_an_earlier_edit_of_the_resource_that_arrives_late_is_refused(shop: Storefront, world: World) -> None:
    """Held up while Temporal was away, it took the place of the later one, and the parcel went to the wrong address."""
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    cheaper = [a_line(unit_price_minor=120_000)]

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE, generation=3))
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=cheaper, generation=3))
    await order.update(contract.UPDATE_RESUME, update_id=f"{order.uid}/suspend/false/3")
    late = [
        await order.refuses(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(), generation=2)),
        await order.refuses(contract.UPDATE_CHANGE_LINES, LinesChange(lines=BIG.lines, generation=2)),
        await order.refuses(contract.UPDATE_SUSPEND, update_id=f"{order.uid}/suspend/true/2"),
    ]

    assert late == ["Superseded"] * 3
    snapshot = await order.snapshot()
    assert (snapshot.shipping_address, snapshot.total_minor, snapshot.suspended) == (ELSEWHERE, 120_000, False)


async def test_a_change_of_address_once_the_carrier_was_asked_is_refused(shop: Storefront, world: World) -> None:
    parcel = world.hold("ship_line")
    order = await shop.place()
    await parcel.reached.wait()

    assert await order.refuses(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=ELSEWHERE)) == "AlreadyShipped"

    parcel.release()
    await order.result()
    assert world.delivered == {"1": an_address()}


async def test_a_late_change_of_address_by_signal_leaves_the_shown_address_true(shop: Storefront, world: World) -> None:
    parcel = world.hold("ship_line")
    order = await shop.place()
    await parcel.reached.wait()

    await order.handle.signal(contract.SIGNAL_UPDATE_ADDRESS, ELSEWHERE)
    parcel.release()
    await order.result()

    (shipped_to,) = world.delivered.values()
    assert (await order.snapshot()).shipping_address == shipped_to == an_address()


async def test_a_change_to_the_same_address_publishes_nothing(shop: Storefront) -> None:
    order = await shop.place(BIG)
    before = await order.reaches(OrderStatus.AWAIT_APPROVAL)
    same: Address = an_address()

    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=same))

    assert (await order.snapshot()).seq == before.seq


async def test_an_order_placed_suspended_does_not_begin(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(suspend=True))

    await order.holds_before_first_step()

    assert world.calls == []


async def test_resume_lets_an_order_that_was_placed_suspended_complete(shop: Storefront) -> None:
    order = await shop.place(an_order_spec(suspend=True))
    await order.holds_before_first_step()

    await order.update(contract.UPDATE_RESUME)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert not (await order.snapshot()).suspended


async def test_the_trail_says_that_an_order_was_suspended_and_resumed_and_by_which_way(
    shop: Storefront, world: World
) -> None:
    order = await shop.place(an_order_spec(suspend=True))
    await order.holds_before_first_step()

    await order.update(contract.UPDATE_RESUME)
    await order.update(contract.UPDATE_RESUME)  # changes nothing, and is no act
    await order.result()

    noted = [(note.kind, note.channel) for note in world.notes]
    assert noted == [(NoteKind.RESUMED, contract.TEMPORAL)]


async def test_suspend_lets_the_step_under_way_finish_and_holds_before_the_next(shop: Storefront, world: World) -> None:
    charge = world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()
    await order.update(contract.UPDATE_SUSPEND)
    charge.release()

    async def charged() -> bool:
        snapshot = await order.handle.query(contract.QUERY_STATUS, result_type=OrderSnapshot)
        return snapshot.payment is not None

    await eventually(charged, "charged")
    assert world.count("ship_line") == 0

    await order.update(contract.UPDATE_RESUME)
    await order.result()
    assert world.count("ship_line") == 1


async def test_what_a_suspended_order_finished_is_shown(shop: Storefront, world: World) -> None:
    charge = world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()
    await order.update(contract.UPDATE_SUSPEND)
    charge.release()

    async def shown() -> bool:
        snapshot = await order.snapshot()
        return snapshot.payment is not None and snapshot.suspended

    await eventually(shown, "the finished charge of a suspended order")
    assert (await order.snapshot()).current_step is None


async def test_suspend_does_not_stop_the_wait_for_approval_from_being_decided(shop: Storefront, world: World) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    await order.update(contract.UPDATE_SUSPEND)

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    async def decided() -> bool:
        snapshot = await order.snapshot()
        return snapshot.suspended and StepName.APPROVAL in {step.name for step in snapshot.steps if step.finished_at}

    await eventually(decided, "approved and still suspended")
    assert world.count("charge_payment") == 0


async def test_the_signal_orphan_marks_the_run_and_changes_nothing_else(shop: Storefront) -> None:
    order = await shop.place(BIG)
    before = await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.handle.signal(contract.SIGNAL_ORPHAN)

    async def marked() -> bool:
        return (await (await order.handle.describe()).memo()).get(contract.MEMO_ORPHANED) is True

    await eventually(marked, "marked as orphaned")
    assert await order.snapshot() == before
