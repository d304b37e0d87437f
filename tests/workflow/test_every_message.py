"""No message and no text stops an order: every kind of message, at every phase, to a real workflow."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest
from builders import STANDARD_PIPELINE, a_line, a_policy, an_order_spec
from hostile_messages import ARGUMENTS, Sent, bursts, every_odd_one, every_unreadable_one
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Stage
from storefront import DEADLINE_SECONDS, UPDATES_AT_ONCE, PlacedOrder, Storefront, a_shop, eventually
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from order_domain.errors import PermanentError
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import CancelRequest

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])

Phase = Callable[[Storefront], Awaitable[PlacedOrder]]


async def suspended(shop: Storefront) -> PlacedOrder:
    order = await shop.place(an_order_spec(suspend=True))
    await order.holds_before_first_step()
    return order


async def waiting_for_approval(shop: Storefront) -> PlacedOrder:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


async def short_of_stock(shop: Storefront) -> PlacedOrder:
    policy = a_policy(inventory={"onShortage": "Backorder", "backorderSeconds": 3600})
    order = await shop.place(an_order_spec(lines=[a_line(quantity=101)]), policy=policy)
    await order.reaches(OrderStatus.AWAIT_STOCK)
    return order


async def in_the_address_window(shop: Storefront) -> PlacedOrder:
    at = STANDARD_PIPELINE.index(StepName.SHIP)
    pipeline = [*STANDARD_PIPELINE[:at], StepName.ADDRESS_WINDOW, *STANDARD_PIPELINE[at:]]
    window = {"seconds": 3600, "via": "Update", "onExpiry": "Continue"}
    order = await shop.place(policy=a_policy(pipeline=pipeline, address_window=window))
    await order.reaches(OrderStatus.AWAIT_ADDRESS)
    return order


async def being_charged(shop: Storefront) -> PlacedOrder:
    charge = shop.world.hold("charge_payment")
    order = await shop.place()
    await charge.reached.wait()
    return order


async def being_undone(shop: Storefront) -> PlacedOrder:
    refund = shop.world.hold("refund_payment")
    order = await being_charged(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    shop.world.hold("charge_payment").release()
    await refund.reached.wait()
    return order


async def in_manual_review(shop: Storefront) -> PlacedOrder:
    shop.world.fail("release_stock", PermanentError("no such reservation"))
    order = await waiting_for_approval(shop)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    await order.reaches(OrderStatus.MANUAL_REVIEW)
    shop.world.repair("release_stock")
    return order


async def closed(shop: Storefront) -> PlacedOrder:
    order = await shop.place()
    await order.result()
    return order


PHASES = [
    suspended,
    waiting_for_approval,
    short_of_stock,
    in_the_address_window,
    being_charged,
    being_undone,
    in_manual_review,
    closed,
]


async def send(order: PlacedOrder, messages: Sequence[Sent]) -> None:
    """Several at once; whatever is refused is refused."""
    free = asyncio.Semaphore(UPDATES_AT_ONCE)

    async def one(message: Sent) -> None:
        try:
            async with free, asyncio.timeout(DEADLINE_SECONDS):
                if message.is_update:
                    await order.handle.start_update(
                        message.name, args=message.arguments, wait_for_stage=WorkflowUpdateStage.ACCEPTED
                    )
                else:
                    await order.handle.signal(message.name, args=message.arguments)
        except (WorkflowUpdateFailedError, RPCError):
            pass

    await asyncio.gather(*(one(message) for message in messages))


HARMLESS = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
"""The server's way to say that a message came in just as the workflow closed: it is told of it, and closes again."""


async def still_answers(order: PlacedOrder) -> None:
    """No workflow task failed, and the workflow takes part in what is asked."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        await order.handle.query(contract.QUERY_STATUS)
    failures = [
        event.workflow_task_failed_event_attributes
        for event in await order.events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    assert [failure.failure.message for failure in failures if failure.cause != HARMLESS] == []
    assert not await order.count(EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)


async def ends_well(shop: Storefront, order: PlacedOrder) -> None:
    """Somebody cancels, everything works again: money and stock are right."""
    shop.world.release_all()

    async def is_closed() -> bool:
        for update, arguments in ((contract.UPDATE_CANCEL, [CancelRequest(by="ana")]), (contract.UPDATE_RESUME, [])):
            with suppress(TemporalError, RPCError):
                await order.handle.execute_update(update, args=arguments)
        return (await order.handle.describe()).close_time is not None

    await eventually(is_closed, "closed")
    result = await order.result()
    if result.status == OrderStatus.ORDER_COMPLETED:
        assert shop.world.balance == result.total_minor
        assert not shop.world.reserved
    else:
        assert shop.world.untouched


MAY_END_IT = (
    contract.UPDATE_APPROVE,
    contract.SIGNAL_APPROVE_ORDER,
    contract.UPDATE_REJECT,
    contract.UPDATE_CANCEL,
    contract.SIGNAL_CANCEL_ORDER,
)
"""Sent last: one of them may be in order, and end the order before the others come."""
IN_TURN = sorted(ARGUMENTS, key=lambda name: (MAY_END_IT.index(name) + 1 if name in MAY_END_IT else 0, name))


async def goes_on_after(client: Client, phase: Phase, messages: Sequence[Sent]) -> None:
    """An order in this phase gets the messages, and ends as it should."""
    async with a_shop(client) as shop:
        order = await phase(shop)
        await send(order, messages)

        await still_answers(order)
        await ends_well(shop, order)
        await still_answers(order)


async def test_no_wrong_number_of_arguments_and_no_unreadable_payload_stops_an_order(temporal: Client) -> None:
    await goes_on_after(temporal, waiting_for_approval, [one for name in IN_TURN for one in every_unreadable_one(name)])


@pytest.mark.parametrize("phase", PHASES)
@settings(
    max_examples=2, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), phases=[Stage.generate]
)
@given(messages=bursts)
async def test_no_message_stops_an_order(temporal: Client, phase: Phase, messages: list[Sent]) -> None:
    await goes_on_after(temporal, phase, messages)


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
async def test_no_text_and_no_number_in_any_field_stops_an_order(temporal: Client, phase: Phase) -> None:
    await goes_on_after(temporal, phase, [one for name in IN_TURN for one in every_odd_one(name)])


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=[Stage.generate])
@given(messages=bursts)
async def test_no_burst_of_messages_stops_an_order(temporal: Client, phase: Phase, messages: list[Sent]) -> None:
    await goes_on_after(temporal, phase, messages)


@pytest.mark.parametrize("suspend", [False, True])
@pytest.mark.parametrize("arguments", [[], [1, 2]])
async def test_a_signal_before_the_first_step_is_followed_or_dropped(
    temporal: Client, suspend: bool, arguments: list[int]
) -> None:
    async with a_shop(temporal) as shop:
        order = await shop.place(an_order_spec(suspend=suspend), signal=(contract.SIGNAL_CANCEL_ORDER, [*arguments]))

        if arguments:
            await ends_well(shop, order)
        result = await order.result()
        await still_answers(order)
        assert arguments or result.status == OrderStatus.ORDER_CANCELLED
