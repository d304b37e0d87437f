"""An order whose workflow somebody terminates is brought to an end by the next run, which the operator starts."""

from uuid import uuid4

import pytest
from builders import a_line, a_policy, an_address
from fake_activities import World
from storefront import PlacedOrder, Storefront, a_worker, eventually
from temporalio.client import Client, WorkflowExecutionStatus

from order_domain.errors import BooksDisagree, FraudSuspected, OperationConflict, ProviderUnavailable, Undeliverable
from order_domain.order import ChargeKind, OrderCharge
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec
from order_domain.snapshot import CompensationState, StepState
from order_domain.status import OrderStatus
from order_operator.orders.observation import Observation, describe
from order_operator.orders.takeover import is_abandoned, take_over
from order_workflows import contract
from order_workflows.contract import (
    ORDER_CLUSTER,
    ORDER_ID,
    ORDER_TOTAL_MINOR,
    AddressChange,
    Decision,
    LinesChange,
    OrderResult,
    RunKey,
)
from order_workflows.order_workflow import OrderWorkflow

UNDO_OF = {
    "reserve_stock": "release_stock",
    "pack_lines": "unpack_lines",
    "charge_payment": "refund_payment",
    "ship_line": "cancel_shipment",
}


def every_effect(**changes: object) -> OrderClassSpec:
    """Nothing is past the pivot before the write-back, so that a shipment is called back as well."""
    pipeline = ["Receive", "ReserveStock", "PrepareShipment", "ChargePayment", "Ship", "UpdateOrderStatus", "Notify"]
    compensation = {"pivot": "UpdateOrderStatus"}
    return a_policy(**{"pipeline": pipeline, "approval": {"mode": "Never"}, "compensation": compensation, **changes})


def asking() -> OrderClassSpec:
    """Reserves, and then waits for a decision."""
    return a_policy(approval={"mode": "Always", "window_seconds": 3600})


async def seen(order: PlacedOrder) -> Observation:
    """As the operator sees it."""
    identifier = order.handle.id
    key = contract.parse_workflow_id(identifier)
    assert key is not None
    observation = await describe(order.client, key, identifier)
    assert observation is not None
    return observation


async def terminate(order: PlacedOrder) -> Observation:
    await order.handle.terminate("by mistake")
    return await seen(order)


async def next_run(order: PlacedOrder) -> PlacedOrder:
    """Has the present one terminated and the order taken over."""
    await take_over(order.client, await terminate(order))
    return newest_run(order)


def newest_run(order: PlacedOrder) -> PlacedOrder:
    handle = order.client.get_workflow_handle_for(OrderWorkflow.run, order.handle.id)
    return PlacedOrder(order.client, handle, order.uid)


async def held_at(shop: Storefront, world: World, activity: str, policy: OrderClassSpec | None = None) -> PlacedOrder:
    """An order one of whose activities is under way and has had no effect yet."""
    hold = world.hold(activity)
    order = await shop.place(policy=policy or every_effect())
    await hold.reached.wait()
    return order


async def cancelled(order: PlacedOrder) -> OrderResult:
    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    return result


async def test_an_order_that_waits_for_approval_gives_its_pieces_back(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    undoing = await next_run(order)

    await cancelled(undoing)
    await shop.record("terminated-awaiting-approval", undoing)
    assert world.untouched


@pytest.mark.parametrize("activity", UNDO_OF)
async def test_what_had_happened_before_is_undone_in_reverse(shop: Storefront, world: World, activity: str) -> None:
    order = await held_at(shop, world, activity)

    await cancelled(await next_run(order))

    before = list(UNDO_OF)[: list(UNDO_OF).index(activity)]
    assert [call for call in world.calls if call in UNDO_OF.values()] == [UNDO_OF[name] for name in reversed(before)]
    assert world.untouched


@pytest.mark.parametrize("activity", UNDO_OF)
async def test_what_the_terminated_run_was_doing_comes_too_late(temporal: Client, activity: str) -> None:
    world = World()
    shop = Storefront(temporal, f"orders-{uuid4()}", world, None)
    async with a_worker(temporal, shop.task_queue, world):
        order = await held_at(shop, world, activity)
        await cancelled(await next_run(order))

        world.release_all()

    assert world.untouched


async def test_an_effect_whose_answer_the_workflow_never_heard_is_undone(shop: Storefront, world: World) -> None:
    world.lose_answers("charge_payment")
    order = await held_at(shop, world, "charge_payment")
    world.release_all()

    async def charged() -> bool:
        return bool(world.charged)

    await eventually(charged, "a charge")

    result = await cancelled(await next_run(order))

    assert result.refund_id is not None
    assert world.untouched


async def test_the_order_says_why_it_ended(shop: Storefront, world: World) -> None:
    order = await held_at(shop, world, "charge_payment")

    undoing = await next_run(order)

    assert (await cancelled(undoing)).message == "the workflow was terminated, and what it had done is undone"
    snapshot = await undoing.snapshot()
    assert snapshot.last_error is not None
    assert snapshot.last_error.type == "WorkflowTerminated"
    assert snapshot.compensation is CompensationState.DONE
    states = {step.name: step.state for step in snapshot.steps}
    assert states == {
        StepName.RECEIVE: StepState.SUCCEEDED,
        StepName.RESERVE_STOCK: StepState.COMPENSATED,
        StepName.PREPARE_SHIPMENT: StepState.COMPENSATED,
        StepName.CHARGE_PAYMENT: StepState.FAILED,
    }


async def test_the_customer_is_told(shop: Storefront, world: World) -> None:
    order = await held_at(shop, world, "charge_payment")

    await cancelled(await next_run(order))

    [mail] = world.mails
    assert "was cancelled" in mail.subject


async def test_the_status_goes_on_where_it_stood(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=asking())
    before = await order.reaches(OrderStatus.AWAIT_APPROVAL)
    hold = world.hold("halt_order")

    undoing = await next_run(order)
    await hold.reached.wait()

    assert await undoing.snapshot() == before
    hold.release()
    await cancelled(undoing)
    after = await undoing.snapshot()
    assert after.seq > before.seq
    assert after.progress == before.progress


async def test_the_next_run_is_found_by_what_the_first_was_found_by(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    before = (await order.handle.describe()).typed_search_attributes

    undoing = await next_run(order)

    await cancelled(undoing)
    after = (await undoing.handle.describe()).typed_search_attributes
    keys = (ORDER_CLUSTER, ORDER_ID, ORDER_TOTAL_MINOR)
    assert [after.get(key) for key in keys] == [before.get(key) for key in keys]


async def test_no_change_is_taken_any_more(shop: Storefront, world: World) -> None:
    order = await held_at(shop, world, "ship_line")
    hold = world.hold("unpack_lines")

    undoing = await next_run(order)
    await hold.reached.wait()

    assert await undoing.refuses(contract.UPDATE_APPROVE, Decision(by="ana")) == "OrderEnding"


async def test_a_cancellation_does_not_stop_the_undoing(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    hold = world.hold("halt_order")
    undoing = await next_run(order)
    await hold.reached.wait()

    await undoing.handle.cancel()
    hold.release()

    await cancelled(undoing)
    assert world.untouched


def without_a_gate(**changes: object) -> OrderClassSpec:
    pipeline = ["Receive", "ReserveStock", "ChargePayment", "Ship", "UpdateOrderStatus", "Notify"]
    return a_policy(**{"pipeline": pipeline, "approval": {"mode": "Never"}, **changes})


@pytest.mark.parametrize("activity", ["update_order_status", "notify_customer"])
async def test_an_order_past_its_pivot_goes_on_with_the_steps_that_are_left(
    shop: Storefront, world: World, activity: str
) -> None:
    order = await held_at(shop, world, activity, without_a_gate())

    undoing = await next_run(order)
    world.release_all()
    result = await undoing.result()

    await shop.record("terminated-past-the-pivot", undoing)
    assert (result.status, result.message) == (OrderStatus.ORDER_COMPLETED, None)
    assert result.transaction_id is not None
    assert world.sold == {"PROD-001": 1}
    assert world.balance == 50_000
    assert list(world.delivered) == ["1"]
    assert len(result.tracking_numbers) == 1


async def test_an_order_that_was_completed_without_showing_it_shows_all_of_it(shop: Storefront, world: World) -> None:
    order = await held_at(shop, world, "notify_customer", without_a_gate())
    stopped = await terminate(order)
    world.release_all()

    async def closed() -> bool:
        return order.uid in world.ends

    await eventually(closed, "the end that the terminated run records")
    await take_over(order.client, stopped)
    going_on = newest_run(order)

    assert len((await going_on.result()).tracking_numbers) == 1
    states = {step.name: step.state for step in (await going_on.snapshot()).steps}
    assert set(states.values()) == {StepState.SUCCEEDED}


async def test_an_order_that_was_paid_past_recall_is_shipped(shop: Storefront, world: World) -> None:
    order = await held_at(shop, world, "ship_line", without_a_gate(compensation={"pivot": "ChargePayment"}))

    going_on = await next_run(order)
    world.release_all()

    assert (await going_on.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.balance == 50_000
    assert list(world.delivered) == ["1"]


async def test_the_lines_in_force_are_shipped(shop: Storefront, world: World) -> None:
    policy = a_policy(approval={"mode": "Always", "window_seconds": 3600}, compensation={"pivot": "ChargePayment"})
    hold = world.hold("ship_line")
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    changed = [a_line(line_id="7", sku="PROD-002", quantity=2, unit_price_minor=100)]
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=changed))
    await order.update(contract.UPDATE_APPROVE, Decision(by="ana", total_minor=200))
    await hold.reached.wait()

    going_on = await next_run(order)
    world.release_all()

    result = await going_on.result()
    assert (result.status, result.total_minor) == (OrderStatus.ORDER_COMPLETED, 200)
    assert list(world.delivered) == ["7"]
    assert world.sold == {"PROD-002": 2}


async def test_lines_that_a_signal_added_are_shipped(shop: Storefront, world: World) -> None:
    policy = a_policy(approval={"mode": "Always", "window_seconds": 3600}, compensation={"pivot": "ChargePayment"})
    hold = world.hold("ship_line")
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    for argument in ({"SKU": "PROD-009", "Quantity": 1}, b"", {"SKU": "PROD-001", "Quantity": 2}, {}):
        await order.handle.signal("add-line-item", argument)
    await order.handle.signal("add-line-item", {"SKU": "PROD-001", "Quantity": 3})

    async def both_added() -> bool:
        return (await order.snapshot()).total_minor == 300_000

    await eventually(both_added, "six pieces")
    await order.update(contract.UPDATE_APPROVE, Decision(by="ana", total_minor=300_000))
    await hold.reached.wait()

    going_on = await next_run(order)
    world.release_all()

    result = await going_on.result()
    assert (result.status, result.total_minor) == (OrderStatus.ORDER_COMPLETED, 300_000)
    assert sorted(world.delivered) == ["1", "2", "3"]


async def test_charges_in_force_are_carried_over_also_where_a_later_change_names_none(
    shop: Storefront, world: World
) -> None:
    policy = a_policy(approval={"mode": "Always", "window_seconds": 3600}, compensation={"pivot": "ChargePayment"})
    hold = world.hold("ship_line")
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    fee = OrderCharge(charge_id="ship", kind=ChargeKind.SHIPPING, amount_minor=50)
    first, second = a_line(unit_price_minor=100), a_line(unit_price_minor=200)
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[first], charges=[fee]))
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[second]))
    await order.update(contract.UPDATE_APPROVE, Decision(by="ana", total_minor=250))
    await hold.reached.wait()

    going_on = await next_run(order)
    world.release_all()

    result = await going_on.result()
    assert (result.status, result.total_minor) == (OrderStatus.ORDER_COMPLETED, 250)


async def test_what_keeps_failing_past_the_pivot_waits_for_a_person_again(shop: Storefront, world: World) -> None:
    policy = without_a_gate(compensation={"pivot": "ChargePayment"}, retry={"default": {"max_attempts": 1}})
    world.fail("ship_line", ProviderUnavailable("no truck"))
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    tries = world.count("ship_line")

    going_on = await next_run(order)

    async def tried_again() -> bool:
        return world.count("ship_line") > tries and (await going_on.snapshot()).status is OrderStatus.MANUAL_REVIEW

    await eventually(tried_again, "the next run in Manual Review")
    world.repair("ship_line")
    await going_on.update(contract.UPDATE_RESUME)
    assert (await going_on.result()).status == OrderStatus.ORDER_COMPLETED


async def test_an_order_whose_end_was_recorded_has_that_end(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=asking())
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    world.ends[order.uid] = OrderStatus.ORDER_REJECTED

    result = await (await next_run(order)).result()

    assert result.status == OrderStatus.ORDER_REJECTED
    assert world.count("release_stock") == 0


async def test_an_undo_that_keeps_failing_waits_for_a_person(shop: Storefront, world: World) -> None:
    world.fail("unpack_lines", OperationConflict("another packing has this name"))
    order = await held_at(shop, world, "charge_payment")

    undoing = await next_run(order)
    await undoing.reaches(OrderStatus.MANUAL_REVIEW)
    world.repair("unpack_lines")
    await undoing.update(contract.UPDATE_RESUME)

    await cancelled(undoing)
    assert world.untouched


async def test_a_run_that_undoes_may_be_terminated_too(shop: Storefront, world: World) -> None:
    order = await held_at(shop, world, "ship_line")
    hold = world.hold("unpack_lines")
    undoing = await next_run(order)
    await hold.reached.wait()

    again = await next_run(undoing)
    hold.release()

    await cancelled(again)
    await shop.record("terminated-twice", again)
    assert world.untouched
    assert len(world.refund_reasons) >= 1


async def test_an_order_that_never_ran_is_cancelled(temporal: Client) -> None:
    world = World()
    shop = Storefront(temporal, f"orders-{uuid4()}", world, None)
    undoing = await next_run(await shop.place())

    async with a_worker(temporal, shop.task_queue, world):
        await cancelled(undoing)

    assert world.calls == ["halt_order", "notify_customer", "close_order"]


async def test_an_order_is_taken_over_once_however_often_that_is_tried(shop: Storefront, world: World) -> None:
    order = await held_at(shop, world, "charge_payment")
    hold = world.hold("halt_order")
    stopped = await terminate(order)

    runs = {await run_after(order.client, stopped) for _ in range(3)}
    hold.release()
    await cancelled(newest_run(order))
    runs.add(await run_after(order.client, stopped))

    assert len(runs) == 1
    assert stopped.run_id not in runs


async def run_after(client: Client, stopped: Observation) -> str:
    """The id of the run that there is once `stopped` is taken over."""
    found = await take_over(client, stopped)
    assert found is not None
    return found.run_id


async def test_an_order_that_has_ended_is_left_alone(shop: Storefront, world: World) -> None:
    order = await shop.place()
    await order.result()

    assert not is_abandoned(await seen(order))


async def test_a_workflow_that_nobody_can_read_stays_as_it_is(temporal: Client) -> None:
    key = RunKey("shop", "strange", str(uuid4()))
    identifier = contract.workflow_id(*key)
    handle = await temporal.start_workflow(
        contract.WORKFLOW_TYPE, {"not": "an order"}, id=identifier, task_queue="none"
    )
    await handle.terminate()
    stopped = await describe(temporal, key, identifier)
    assert stopped is not None

    after = await take_over(temporal, stopped)

    assert after is not None
    assert (after.run_id, after.status) == (stopped.run_id, WorkflowExecutionStatus.TERMINATED)


async def test_a_line_is_asked_for_under_the_id_under_which_it_was_shipped(shop: Storefront, world: World) -> None:
    policy = without_a_gate(compensation={"pivot": "ChargePayment"}, retry={"default": {"max_attempts": 1}})
    world.fail("ship_line", Undeliverable("no such street"), times=1)
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    # The second address is good: the carrier takes the parcel, and its answer is lost.
    world.lose_answers("ship_line", times=1)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(line1="742 Evergreen Terrace")))
    await order.update(contract.UPDATE_RESUME)

    async def taken() -> bool:
        return len(world.parcels) == 1

    await eventually(taken, "the parcel that the carrier takes")
    going_on = await next_run(order)

    assert (await going_on.result()).status == OrderStatus.ORDER_COMPLETED
    assert len(world.parcels) == 1


async def test_a_run_that_takes_over_asks_about_the_country_before_the_parcel_leaves(
    shop: Storefront, world: World
) -> None:
    """The run before knew that it had asked about another one."""
    world.hold("charge_payment")
    order = await shop.place(policy=a_policy(compensation={"pivot": "ChargePayment"}))
    await order.reaches(OrderStatus.CHARGE_CUSTOMER)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(country="DE")))
    world.fail("check_fraud", FraudSuspected("not to that country"))
    world.release_all()
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    questions = world.count("check_fraud")

    again = await next_run(order)

    async def asked() -> bool:
        return world.count("check_fraud") > questions or bool(world.parcels)

    await eventually(asked, "a question, or a parcel")
    assert world.parcels == {}
    await again.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address()))
    world.repair("check_fraud")
    await again.update(contract.UPDATE_RETRY)
    assert (await again.result()).status == OrderStatus.ORDER_COMPLETED
    await shop.record("asked-after-a-takeover", again)


async def test_an_order_that_goes_on_after_its_books_were_put_right_takes_another_address(
    shop: Storefront, world: World
) -> None:
    """It was taken for one that is being undone, and its address could not be corrected any more."""
    world.fail("ship_line", Undeliverable("no such street"))
    compensation = {"pivot": "ChargePayment"}
    order = await shop.place(policy=a_policy(compensation=compensation, retry={"default": {"max_attempts": 1}}))
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    world.fail("halt_order", BooksDisagree("the ledger knows of nothing"), times=1)
    going_on = await next_run(order)

    async def books_disagree() -> bool:
        error = (await going_on.snapshot()).last_error
        return error is not None and error.type == "BooksDisagree"

    await eventually(books_disagree, "the books that disagree")
    await going_on.update(contract.UPDATE_RETRY)

    async def shipped_again() -> bool:
        return world.count("ship_line") == 2

    await eventually(shipped_again, "the next try to ship")
    await going_on.reaches(OrderStatus.MANUAL_REVIEW)

    await going_on.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(line1="2 High Street")))
    world.repair("ship_line")
    await going_on.update(contract.UPDATE_RETRY)

    assert (await going_on.result()).status == OrderStatus.ORDER_COMPLETED
    assert (await going_on.snapshot()).compensation is None
    await shop.record("compensation-forgotten", going_on)
