"""A decision is about an amount that its author has seen: row 9 of faults-money.md."""

from datetime import timedelta

import pytest
from builders import a_line, a_policy, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront

from order_domain.order import lines_digest
from order_domain.snapshot import DecisionOutcome
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import Decision, LinesChange

BEFORE = [a_line(unit_price_minor=150_000)]
NOW = [a_line(quantity=60, unit_price_minor=150_000)]
TOTAL = 9_000_000


async def a_waiting_order(shop: Storefront, **approval: object) -> PlacedOrder:
    policy = a_policy(approval={"mode": "Always", "window_seconds": 300, **approval})
    order = await shop.place(an_order_spec(lines=BEFORE), policy=policy)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


async def change(order: PlacedOrder) -> None:
    """By a client that knows no resource, and so no generation."""
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=NOW))


async def test_an_approval_of_an_order_that_changed_while_it_waited_has_to_state_the_amount(
    shop: Storefront, world: World
) -> None:
    order = await a_waiting_order(shop)
    await change(order)

    assert await order.refuses(contract.UPDATE_APPROVE, Decision(by="bob", generation=1)) == "AmountNotStated"

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=TOTAL))
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert world.balance == TOTAL
    assert (await order.snapshot()).approval.total_minor == TOTAL


async def test_the_digest_of_what_was_seen_states_the_amount_too(shop: Storefront) -> None:
    order = await a_waiting_order(shop)
    await change(order)

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", digest=lines_digest(NOW, [])))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


@pytest.mark.parametrize(
    "seen",
    [
        {"total_minor": 150_000},
        {"total_minor": TOTAL, "currency": "EUR"},
        {"digest": lines_digest(BEFORE, [])},
        {"total_minor": TOTAL, "digest": lines_digest(BEFORE, [])},
    ],
)
async def test_a_decision_about_another_amount_currency_or_other_lines_is_refused(
    shop: Storefront, world: World, seen: dict[str, object]
) -> None:
    order = await a_waiting_order(shop)
    await change(order)

    assert await order.refuses(contract.UPDATE_APPROVE, Decision.model_validate({"by": "bob", **seen})) == (
        "StaleDecision"
    )
    assert world.balance == 0


async def test_a_signal_cannot_approve_an_order_that_changed_while_it_waited(shop: Storefront, world: World) -> None:
    order = await a_waiting_order(shop)
    await change(order)

    await order.handle.signal(contract.SIGNAL_APPROVE)
    await order.update(contract.UPDATE_REJECT, Decision(by="bob", total_minor=TOTAL))

    assert (await order.result()).status == OrderStatus.ORDER_REJECTED
    assert world.untouched


async def test_a_change_that_still_needs_approval_opens_the_window_anew(shop: Storefront) -> None:
    order = await a_waiting_order(shop)
    before = (await order.snapshot()).approval.deadline

    await change(order)

    snapshot = await order.snapshot()
    assert before is not None
    assert snapshot.approval.deadline is not None
    assert snapshot.updated_at is not None
    assert snapshot.approval.deadline > before
    assert snapshot.pending_action is not None
    assert snapshot.pending_action.deadline == snapshot.approval.deadline


@pytest.mark.parametrize(
    "silence",
    [
        {"window_seconds": 3, "on_expiry": "Approve"},
        {"window_seconds": 3, "auto_approve_after_seconds": 2},
    ],
)
async def test_silence_never_approves_what_changed_while_it_waited(
    shop: Storefront, world: World, silence: dict[str, object]
) -> None:
    order = await a_waiting_order(shop, **silence)
    await change(order)

    result = await order.result()

    assert result.status == OrderStatus.ORDER_EXPIRED
    assert result.message == f"no decision within {timedelta(seconds=3)}"
    assert (await order.snapshot()).approval.decision is DecisionOutcome.EXPIRED
    assert world.untouched
