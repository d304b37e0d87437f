from collections.abc import Awaitable, Callable

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront, eventually
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus

from order_domain.audit_note import NoteKind
from order_domain.order import Cancellation
from order_domain.snapshot import CompensationState, OrderSnapshot
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import CancelRequest
from order_workflows.patches import CANCELLED_FROM_THE_START

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])


async def by_update(order: PlacedOrder) -> None:
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana", reason="changed my mind"))


async def by_temporal(order: PlacedOrder) -> None:
    await order.handle.cancel()


async def by_signal(order: PlacedOrder) -> None:
    await order.handle.signal(contract.SIGNAL_CANCEL_ORDER)


EVERY_WAY = pytest.mark.parametrize("cancel", [by_update, by_temporal, by_signal])
Cancel = Callable[[PlacedOrder], Awaitable[None]]


@EVERY_WAY
async def test_an_order_cancelled_while_it_waits_ends_cancelled_with_its_stock_released(
    shop: Storefront, world: World, cancel: Cancel
) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await cancel(order)

    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert world.count("release_stock") == 1
    assert world.untouched
    assert world.ends[order.uid] == OrderStatus.ORDER_CANCELLED


@EVERY_WAY
async def test_a_charge_that_succeeds_after_the_cancel_is_refunded(
    shop: Storefront, world: World, cancel: Cancel
) -> None:
    charge = world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()

    await cancel(order)
    charge.release()

    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    assert result.refund_id == f"REFUND-{order.uid[:8]}"
    assert world.count("ship_line") == 0
    assert world.untouched
    if cancel is by_update:
        await shop.record("cancelled", order)


async def test_the_undoing_begins_only_when_the_step_under_way_has_answered(shop: Storefront, world: World) -> None:
    charge = world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()

    await by_update(order)

    snapshot = await order.handle.query(contract.QUERY_STATUS, result_type=OrderSnapshot)
    assert snapshot.status is OrderStatus.CHARGE_CUSTOMER
    assert snapshot.compensation is None
    charge.release()
    await order.result()


@EVERY_WAY
async def test_parcels_that_leave_after_the_cancel_are_called_back(
    shop: Storefront, world: World, cancel: Cancel
) -> None:
    parcel = world.hold("ship_line")
    order = await shop.place()
    await parcel.reached.wait()

    await cancel(order)
    parcel.release()

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert len(world.called_back) == 1
    assert world.untouched


@EVERY_WAY
async def test_a_cancel_during_the_last_step_before_the_end_is_not_forgotten(
    shop: Storefront, world: World, cancel: Cancel
) -> None:
    unshipped = a_policy(pipeline=["Receive", "ReserveStock", "ChargePayment"], approval={"mode": "Never"})
    charge = world.hold("charge_payment")
    order = await shop.place(policy=unshipped)
    await charge.reached.wait()

    await cancel(order)
    charge.release()

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.untouched


async def test_a_cancelled_order_says_who_and_why(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await by_update(order)

    assert (await order.result()).message == "cancelled by ana: changed my mind"


async def test_a_cancel_before_the_first_step_touches_nothing(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(suspend=True))
    await order.holds_before_first_step()

    await by_update(order)

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.calls == ["halt_order", "notify_customer", "close_order"]


@pytest.mark.parametrize("suspend", [False, True])
async def test_an_order_that_was_cancelled_before_it_began_ends_before_its_first_step(
    shop: Storefront, world: World, suspend: bool
) -> None:
    asked = Cancellation(by="ana", reason="changed my mind")

    order = await shop.place(an_order_spec(suspend=suspend, cancellation=asked))

    result = await order.result()
    assert (result.status, result.message) == (OrderStatus.ORDER_CANCELLED, "cancelled by ana: changed my mind")
    assert world.calls == ["halt_order", "notify_customer", "close_order"]
    [note] = [note for note in world.notes if note.kind is NoteKind.CANCELLED]
    assert (note.by, note.reason, note.channel) == ("ana", "changed my mind", contract.KUBERNETES)
    if not suspend:
        await shop.record("cancelled-before-it-began", order)


async def test_a_restored_order_that_is_cancelled_and_that_the_ledger_does_not_know_does_nothing(
    shop: Storefront, world: World
) -> None:
    """It asked the ledger for the order that it was, and went on to its charge then."""
    order = await shop.place(an_order_spec(cancellation=Cancellation(by="ana")), begins_again="uid-of-the-first")

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.calls[0] == "receive_order"
    assert world.count("reserve_stock") == world.count("charge_payment") == 0


async def test_a_charge_of_a_run_that_temporal_has_lost_is_refunded_where_the_order_begins_anew_cancelled(
    shop: Storefront, world: World
) -> None:
    halt = world.hold("halt_order")
    order = await shop.place(an_order_spec(cancellation=Cancellation(by="ana")))
    await halt.reached.wait()
    world.charged[f"{order.uid}/charge"] = 50_000  # says the ledger
    halt.release()

    assert (await order.result()).refund_id is not None
    assert world.untouched


async def test_a_worker_that_ignores_the_cancellation_of_the_spec_hears_the_update(
    shop: Storefront, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of an earlier release does."""
    patched = workflow.patched
    monkeypatch.setattr(workflow, "patched", lambda change: change != CANCELLED_FROM_THE_START and patched(change))
    order = await shop.place(an_order_spec(suspend=True, cancellation=Cancellation(by="ana")))
    await order.holds_before_first_step()

    await by_update(order)

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED


async def test_the_cancellation_that_an_order_follows_already_is_no_change_that_comes_too_late(
    shop: Storefront, world: World
) -> None:
    """The operator sends it where it has not seen yet that the order follows it."""
    charge = world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()
    await by_update(order)

    await by_update(order)
    refusal = await order.refuses(contract.UPDATE_CANCEL, CancelRequest(by="bob", reason="changed my mind"))
    charge.release()

    assert refusal == "OrderEnding"
    assert (await order.result()).message == "cancelled by ana: changed my mind"


async def a_shipped_order(shop: Storefront, world: World) -> PlacedOrder:
    """One whose parcels have left, held before it notifies."""
    parcel = world.hold("ship_line")
    order = await shop.place()
    await parcel.reached.wait()
    await order.update(contract.UPDATE_SUSPEND)
    parcel.release()

    async def shipped() -> bool:
        return world.count("commit_stock") == 1

    await eventually(shipped, "shipped")
    return order


async def test_a_cancel_after_shipping_is_refused(shop: Storefront, world: World) -> None:
    order = await a_shipped_order(shop, world)

    assert await order.refuses(contract.UPDATE_CANCEL, CancelRequest()) == "AlreadyShipped"


@pytest.mark.parametrize("cancel", [by_temporal, by_signal])
async def test_a_cancel_that_cannot_be_refused_is_ignored_after_shipping(
    shop: Storefront, world: World, cancel: Cancel
) -> None:
    order = await a_shipped_order(shop, world)

    await cancel(order)
    await order.update(contract.UPDATE_RESUME)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.balance == 50_000


async def test_a_second_cancel_does_not_stop_the_undoing(shop: Storefront, world: World) -> None:
    refund = world.hold("refund_payment")
    parcel = world.hold("ship_line")
    order = await shop.place()
    await parcel.reached.wait()
    await by_update(order)
    parcel.release()
    await refund.reached.wait()

    await by_temporal(order)
    refund.release()

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.count("refund_payment") == 1
    assert world.untouched


@pytest.mark.parametrize(
    "update", [contract.UPDATE_CANCEL, contract.UPDATE_APPROVE, contract.UPDATE_CHANGE_ADDRESS, contract.UPDATE_SUSPEND]
)
async def test_an_order_that_is_being_undone_takes_no_more_changes(shop: Storefront, world: World, update: str) -> None:
    refund = world.hold("refund_payment")
    charge = world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()
    await by_update(order)
    charge.release()
    await refund.reached.wait()

    arguments: dict[str, object] = {
        contract.UPDATE_CANCEL: CancelRequest(),
        contract.UPDATE_APPROVE: contract.Decision(by="bob"),
        contract.UPDATE_CHANGE_ADDRESS: contract.AddressChange(address=an_address()),
    }
    assert await order.refuses(update, arguments.get(update)) == "OrderEnding"


async def test_a_cancelled_order_shows_that_it_is_undone(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await by_update(order)
    await order.result()

    statuses = [snapshot.status for snapshot in await order.published()]
    assert statuses[-2:] == [OrderStatus.COMPENSATE_ORDER, OrderStatus.ORDER_CANCELLED]
    assert (await order.snapshot()).compensation is CompensationState.DONE
