"""Every step of the longest pipeline, failing in every way it can."""

import asyncio
from datetime import timedelta

import pytest
from builders import a_policy
from fake_activities import World
from storefront import DEADLINE_SECONDS, PlacedOrder, Storefront, a_worker
from temporalio.client import Client, WorkflowFailureError

from order_domain.errors import LedgerRefused, OperationConflict, ProviderUnavailable
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec
from order_domain.snapshot import StepState
from order_domain.status import OrderStatus
from order_worker.interceptors import error_translation
from order_workflows import contract
from order_workflows.contract import CancelRequest

EVERY_STEP = [step for step in StepName if step is not StepName.ADDRESS_WINDOW]
UNDO_OF = {
    "reserve_stock": "release_stock",
    "pack_lines": "unpack_lines",
    "charge_payment": "refund_payment",
    "ship_line": "cancel_shipment",
}
BACKWARD = [
    "receive_order",
    "validate_lines",
    "get_items",
    "check_availability",
    "check_fraud",
    "reserve_stock",
    "pack_lines",
    "charge_payment",
    "ship_line",
    "update_order_status",
]
"""The activities of all steps up to the pivot, in order."""


def every_step(attempts: int = 0, **compensation: object) -> OrderClassSpec:
    """All steps without a gate; the write-back is the pivot, so that shipping is undone as well."""
    return a_policy(
        pipeline=EVERY_STEP,
        approval={"mode": "Never"},
        retry={"default": {"max_attempts": attempts, "max_interval_seconds": 1}},
        compensation={"pivot": "UpdateOrderStatus", **compensation},
    )


async def fails(order: PlacedOrder) -> None:
    with pytest.raises(WorkflowFailureError):
        await order.result()
    assert (await order.snapshot()).status is OrderStatus.ORDER_FAILED


def undos(world: World) -> list[str]:
    return [call for call in world.calls if call in UNDO_OF.values()]


def undos_before(activity: str) -> list[str]:
    """Of everything before `activity`, the last first."""
    reached = BACKWARD[: BACKWARD.index(activity)]
    return [UNDO_OF[name] for name in reversed(reached) if name in UNDO_OF]


async def test_an_order_with_every_step_completes(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=every_step())

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    await shop.record("every-step", order)
    assert (world.balance, world.sold, set(world.delivered)) == (50_000, {"PROD-001": 1}, {"1"})
    assert undos(world) == []


@pytest.mark.parametrize("activity", BACKWARD)
async def test_a_step_that_fails_once_is_tried_again_and_has_its_effect_once(
    shop: Storefront, world: World, activity: str
) -> None:
    world.fail(activity, ProviderUnavailable("a hiccup"), times=1)
    order = await shop.place(policy=every_step())

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert world.count(activity) == 2
    assert len(world.charged) == len(world.parcels) == len(world.packed) == 1
    assert undos(world) == []


async def test_a_step_that_succeeds_at_the_third_attempt_says_so(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", ProviderUnavailable("a hiccup"), times=2)
    order = await shop.place(policy=every_step())
    await order.result()

    steps = {record.name: record for record in (await order.snapshot()).steps}

    assert steps[StepName.CHARGE_PAYMENT].attempts == world.count("charge_payment") == 3


async def test_a_step_that_succeeds_on_another_worker_keeps_the_error_of_the_first(
    shop: Storefront, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F11: of twelve charges that failed three times, with two workers, some had lost their error."""
    monkeypatch.setattr(error_translation, "KEPT", 0)  # nothing is remembered by the worker itself
    world.fail("charge_payment", ProviderUnavailable("a hiccup"), times=2)
    order = await shop.place(policy=every_step())
    await order.result()

    [charge] = [record for record in (await order.snapshot()).steps if record.name is StepName.CHARGE_PAYMENT]
    assert (charge.attempts, charge.last_error) == (3, "a hiccup")


@pytest.mark.parametrize(
    ("activity", "step"),
    [
        ("charge_payment", StepName.CHARGE_PAYMENT),
        ("check_fraud", StepName.CHECK_FRAUD),
        ("get_items", StepName.GET_ITEMS),
    ],
)
async def test_a_step_that_succeeds_after_retries_keeps_its_last_error(
    shop: Storefront, world: World, activity: str, step: StepName
) -> None:
    world.fail(activity, ProviderUnavailable("a hiccup"), times=1)
    order = await shop.place(policy=every_step())
    await order.result()

    steps = {record.name: record for record in (await order.snapshot()).steps}

    assert (steps[step].state, steps[step].last_error) == (StepState.SUCCEEDED, "a hiccup")
    assert [record.name for record in steps.values() if record.last_error] == [step]


@pytest.mark.parametrize("activity", BACKWARD)
async def test_a_step_that_never_succeeds_undoes_what_was_done_in_reverse(
    shop: Storefront, world: World, activity: str
) -> None:
    world.fail(activity, ProviderUnavailable("down for good"))
    order = await shop.place(policy=every_step(attempts=1))

    await fails(order)

    assert undos(world) == undos_before(activity)
    assert world.untouched


@pytest.mark.parametrize("activity", BACKWARD)
async def test_a_final_refusal_is_not_tried_again(shop: Storefront, world: World, activity: str) -> None:
    world.fail(activity, LedgerRefused("no, and that is final"))
    order = await shop.place(policy=every_step())

    await fails(order)

    assert world.count(activity) == 1
    assert world.untouched


@pytest.mark.parametrize("activity", list(UNDO_OF))
async def test_an_effect_without_an_answer_is_undone(shop: Storefront, world: World, activity: str) -> None:
    world.lose_answers(activity)
    order = await shop.place(policy=every_step(attempts=1))

    await fails(order)

    assert undos(world) == [UNDO_OF[activity], *undos_before(activity)]
    assert world.untouched


@pytest.mark.parametrize("activity", BACKWARD[:-1])
async def test_an_order_cancelled_during_a_step_is_undone(shop: Storefront, world: World, activity: str) -> None:
    held = world.hold(activity)
    order = await shop.place(policy=every_step())
    await held.reached.wait()

    cancelling = asyncio.create_task(order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana")))
    if activity not in ("pack_lines", "charge_payment", "ship_line"):
        # Only when the workflow task ends, which the local activity is part of, does the worker hear of the Update.
        held.release()
    await cancelling
    held.release()

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    assert world.untouched


@pytest.mark.parametrize("activity", ["pack_lines", "charge_payment", "ship_line"])
async def test_a_step_whose_worker_stops_is_carried_on_by_another(temporal: Client, activity: str) -> None:
    world = World()
    shop = Storefront(temporal, f"orders-stopped-{activity}", world, histories=None)
    held = world.hold(activity)
    quick = {"default": {"start_to_close_seconds": 2}}
    policy = every_step().model_copy(update={"retry": a_policy(retry=quick).retry})
    async with a_worker(temporal, shop.task_queue, world):
        order = await shop.place(policy=policy)
        await held.reached.wait()
    held.release()

    async with a_worker(temporal, shop.task_queue, world):
        assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert len(world.charged) == len(world.parcels) == len(world.packed) == 1
    assert world.sold == {"PROD-001": 1}


async def test_undone_in_parallel_an_order_ends_the_same(shop: Storefront, world: World) -> None:
    world.fail("update_order_status", LedgerRefused("the books are closed"))
    order = await shop.place(policy=every_step(parallel=True))

    await fails(order)

    await shop.record("undone-in-parallel", order)
    assert sorted(undos(world)) == sorted(UNDO_OF.values())
    assert world.untouched


async def test_in_parallel_no_undo_waits_for_another_but_all_wait_for_the_parcels(
    shop: Storefront, world: World
) -> None:
    world.fail("update_order_status", LedgerRefused("the books are closed"))
    parcel = world.hold("cancel_shipment")
    holds = [world.hold(undo) for undo in ("refund_payment", "unpack_lines")]
    order = await shop.place(policy=every_step(parallel=True))
    await parcel.reached.wait()
    assert undos(world) == ["cancel_shipment"]

    parcel.release()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(hold.reached.wait() for hold in holds))

    world.release_all()
    await fails(order)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("broken", list(UNDO_OF.values()))
async def test_an_undo_that_fails_stops_no_other_and_leads_to_manual_review(
    shop: Storefront, world: World, broken: str, parallel: bool
) -> None:
    world.fail("update_order_status", LedgerRefused("the books are closed"))
    world.fail(broken, OperationConflict("no"))
    order = await shop.place(policy=every_step(parallel=parallel))

    await order.reaches(OrderStatus.MANUAL_REVIEW)
    assert sorted(undos(world)) == sorted(UNDO_OF.values())

    world.repair(broken)
    await order.update(contract.UPDATE_RESUME)
    await fails(order)
    assert world.untouched


async def test_an_undo_waits_out_an_outage(shop: Storefront, world: World) -> None:
    world.fail("update_order_status", LedgerRefused("the books are closed"))
    world.fail("refund_payment", ProviderUnavailable("down"), times=2)
    order = await shop.place(policy=every_step())

    await fails(order)

    assert world.count("refund_payment") == 3
    assert len(world.refunded) == 1


async def test_a_step_may_not_take_longer_than_its_total_time(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", ProviderUnavailable("down"))
    budget = {"default": {"start_to_close_seconds": 1, "total_seconds": 2, "max_interval_seconds": 1}}
    policy = every_step().model_copy(update={"retry": a_policy(retry=budget).retry})
    order = await shop.place(policy=policy)

    await fails(order)

    steps = {record.name: record for record in (await order.snapshot()).steps}
    charge = steps[StepName.CHARGE_PAYMENT]
    assert charge.started_at is not None
    assert charge.finished_at is not None
    assert charge.finished_at - charge.started_at < timedelta(seconds=DEADLINE_SECONDS)
    assert world.untouched
