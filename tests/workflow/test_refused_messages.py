"""Messages that cannot be followed: an Update is refused with what is wrong, a signal is dropped."""

from typing import Any

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from fake_activities import World
from hostile_messages import as_json, encoded
from storefront import SHORT_TASK, PlacedOrder, Storefront
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from order_domain.errors import FraudSuspected, ProviderUnavailable
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import CancelRequest, Decision, LinesChange

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])
ADDRESS = an_address().model_dump()
LINE = a_line().model_dump()


async def a_waiting_order(shop: Storefront) -> PlacedOrder:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


async def refusal(order: PlacedOrder, update: str, *payloads: Payload) -> tuple[str, str]:
    """Type and message."""
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.handle.execute_update(update, args=[RawValue(payload) for payload in payloads])
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause.type or "", refused.value.cause.message


@pytest.mark.parametrize(
    ("update", "argument", "kind", "field"),
    [
        ("cancel", {"by": "x" * 2000}, "InvalidMessage", "by"),
        ("cancel", {"by": "ana\0"}, "InvalidMessage", "by"),
        ("cancel", {"reason": "x" * 257}, "InvalidMessage", "reason"),
        ("cancel", {"channel": "policy"}, "InvalidMessage", "channel"),
        ("cancel", "at once", "InvalidMessage", ""),
        ("approve", {}, "InvalidMessage", "by"),
        ("approve", {"by": ["ana"]}, "InvalidMessage", "by"),
        ("approve", {"by": "ana", "generation": 10**30}, "InvalidMessage", "generation"),
        ("approve", {"by": "ana", "requester": "x" * 2000}, "InvalidMessage", "requester"),
        ("approve", {"by": "ana", "digest": "x" * 2000}, "InvalidMessage", "digest"),
        ("reject", {"by": "ana", "channel": "x" * 64}, "InvalidMessage", "channel"),
        ("change_address", {"address": ADDRESS | {"line1": "1\0"}}, "InvalidAddress", "address.line1"),
        ("change_address", {"address": None}, "InvalidAddress", "address"),
        ("change_lines", {"lines": []}, "InvalidOrder", "lines"),
        ("change_lines", {"lines": [LINE | {"quantity": 10**30}]}, "InvalidOrder", "lines.0.quantity"),
        ("change_lines", {"lines": [LINE] * 201}, "InvalidOrder", "lines"),
        ("change_lines", {"lines": [0] * 100_000}, "InvalidOrder", "lines.0"),
    ],
)
async def test_an_update_that_breaks_a_rule_is_refused_with_the_name_of_the_field(
    shop: Storefront, update: str, argument: Any, kind: str, field: str
) -> None:
    order = await a_waiting_order(shop)

    told, message = await refusal(order, update, as_json(argument))

    assert told == kind
    assert message.startswith(f"{field}:" if field else "")
    assert len(message) <= 1024


@pytest.mark.parametrize("update", ["approve", "reject", "change_address", "change_lines", "cancel"])
@pytest.mark.parametrize("payload", [encoded(b"binary/plain", b"raw"), encoded(b"binary/null", b"")])
async def test_an_update_without_a_type_is_refused(shop: Storefront, update: str, payload: Payload) -> None:
    order = await a_waiting_order(shop)

    kind, _ = await refusal(order, update, payload)

    assert kind.startswith("Invalid")


@pytest.mark.parametrize("update", ["suspend", "resume", "retry"])
async def test_an_update_takes_no_notice_of_an_argument_too_many(shop: Storefront, update: str) -> None:
    order = await a_waiting_order(shop)

    await order.update(update, {})

    assert (await order.snapshot()).suspended is (update == "suspend")
    assert await order.handle.query(contract.QUERY_REQUIRES_APPROVAL) is True


@pytest.mark.parametrize("update", ["approve", "reject", "change_address", "change_lines", "cancel", "no_such_update"])
@pytest.mark.parametrize("payloads", [[], [as_json({}), as_json({})], [encoded(b"no/such", b"x")]])
async def test_an_update_with_another_number_of_arguments_or_an_unreadable_one_is_refused(
    shop: Storefront, update: str, payloads: list[Payload]
) -> None:
    order = await a_waiting_order(shop)

    await refusal(order, update, *payloads)

    assert await order.handle.query(contract.QUERY_REQUIRES_APPROVAL) is True


@pytest.mark.parametrize(
    ("signal", "payloads"),
    [
        (contract.SIGNAL_APPROVE_ORDER, []),
        (contract.SIGNAL_APPROVE_ORDER, [as_json(True), as_json(True)]),
        (contract.SIGNAL_APPROVE_ORDER, [encoded(b"binary/plain", b"yes")]),
        (contract.SIGNAL_APPROVE_ORDER, [encoded(b"binary/null", b"")]),
        (contract.SIGNAL_APPROVE, [as_json(True)]),
        (contract.SIGNAL_CANCEL_ORDER, [as_json({}), as_json({})]),
        (contract.SIGNAL_CANCEL_ORDER, [as_json("at once")]),
        (contract.SIGNAL_CANCEL_ORDER, [encoded(b"no/such", b"x")]),
        (contract.SIGNAL_UPDATE_ADDRESS, []),
        (contract.SIGNAL_UPDATE_ADDRESS, [encoded(b"binary/null", b"")]),
        (contract.SIGNAL_UPDATE_ADDRESS, [as_json(ADDRESS | {"name": "x" * 2000})]),
        (contract.SIGNAL_UPDATE_ADDRESS, [as_json(ADDRESS), as_json(ADDRESS)]),
        (contract.SIGNAL_STOCK_ARRIVED, [as_json(1)]),
        (contract.SIGNAL_ORPHAN, [as_json(1)]),
        ("no_such_signal", []),
    ],
)
async def test_a_signal_that_cannot_be_used_is_dropped_and_the_order_goes_on(
    shop: Storefront, world: World, caplog: pytest.LogCaptureFixture, signal: str, payloads: list[Payload]
) -> None:
    order = await a_waiting_order(shop)

    await order.handle.signal(signal, args=[RawValue(payload) for payload in payloads])
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert (await order.snapshot()).approval.by == "bob"
    assert world.delivered["1"] == an_address()
    dropped = [record for record in caplog.records if "dropp" in record.message]
    assert any(signal in (getattr(record, "signal", ""), *record.message.split()) for record in dropped)


async def test_a_signal_that_cancels_with_a_long_name_is_followed_with_the_beginning_of_it(shop: Storefront) -> None:
    """Earlier releases took it; an order that was cancelled so has to end so when its history is replayed."""
    order = await a_waiting_order(shop)

    await order.handle.signal(contract.SIGNAL_CANCEL_ORDER, CancelRequest(by="x\0" + "y" * 2000))

    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    assert result.message == "cancelled by x\N{REPLACEMENT CHARACTER}" + "y" * 98


async def test_a_query_with_an_unreadable_argument_is_answered_with_an_error(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    with pytest.raises(WorkflowQueryFailedError):
        await order.handle.query(contract.QUERY_STATUS, RawValue(encoded(b"no/such", b"x")))

    assert await order.handle.query(contract.QUERY_REQUIRES_APPROVAL) is True


async def test_lines_changed_while_the_mail_of_a_refusal_is_tried_again_are_refused(
    shop: Storefront, world: World
) -> None:
    """Row 14 of faults-money.md: the Update was accepted, and the order never closed."""
    shop.task_timeout = SHORT_TASK
    world.fail("check_fraud", FraudSuspected("stolen card"))
    mail = world.hold("notify_customer")
    order = await shop.place()
    await mail.reached.wait()

    change = LinesChange(lines=[a_line(quantity=2)])
    told = await order.refuses(contract.UPDATE_CHANGE_LINES, change)
    decided = await order.refuses(contract.UPDATE_APPROVE, Decision(by="bob"))
    mail.release()

    assert (told, decided) == ("OrderEnding", "OrderEnding")
    assert (await order.result()).status == OrderStatus.ORDER_REJECTED


async def test_a_cancel_that_was_accepted_counts_although_the_attempt_under_way_fails(
    shop: Storefront, world: World
) -> None:
    """Row 15 of faults-money.md: the order ended as Failed."""
    charge = world.hold("charge_payment")
    world.fail("charge_payment", ProviderUnavailable("no answer"))
    order = await shop.place(policy=a_policy(retry={"default": {"max_attempts": 1}}))
    await charge.reached.wait()

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    charge.release()

    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    assert result.message == "cancelled by ana (meanwhile: no answer)"
    steps = {record.name: record.last_error for record in (await order.snapshot()).steps}
    assert "no answer" in (steps[StepName.CHARGE_PAYMENT] or "")
    assert world.untouched
