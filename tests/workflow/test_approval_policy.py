"""What the class says about decisions that no person makes."""

import json
from datetime import timedelta

from builders import a_line, a_policy, an_order_spec
from fake_activities import World
from storefront import Storefront

from order_domain.snapshot import DecisionOutcome
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import Decision

BIG = an_order_spec(lines=[a_line(unit_price_minor=150_000)])


async def test_an_automatic_approval_is_recorded_as_such(shop: Storefront) -> None:
    policy = a_policy(approval={"mode": "Always", "auto_approve_after_seconds": 1})
    order = await shop.place(policy=policy)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    await shop.record("auto-approved", order)
    approval = (await order.snapshot()).approval
    assert (approval.decision, approval.by) == (DecisionOutcome.APPROVED, "auto-approver")


async def test_a_person_may_decide_before_the_automatic_approval(shop: Storefront, world: World) -> None:
    order = await shop.place(policy=a_policy(approval={"mode": "Always", "auto_approve_after_seconds": 60}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    await order.update(contract.UPDATE_REJECT, Decision(by="bob"))

    assert (await order.result()).status == OrderStatus.ORDER_REJECTED
    assert world.untouched


async def test_silence_means_consent_where_the_class_says_so(shop: Storefront) -> None:
    policy = a_policy(approval={"mode": "Always", "window_seconds": 1, "on_expiry": "Approve"})
    order = await shop.place(policy=policy)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert (await order.snapshot()).approval.by == "approval window"


async def test_an_expired_order_is_released_and_ends_as_a_result(shop: Storefront, world: World) -> None:
    """Defect 10 of the reference systems: the expiry escaped as an error, with the status stuck."""
    order = await shop.place(BIG, policy=a_policy(approval={"mode": "Always", "window_seconds": 1}))

    result = await order.result()

    assert result.status == OrderStatus.ORDER_EXPIRED
    assert result.message == f"no decision within {timedelta(seconds=1)}"
    assert world.untouched


async def test_the_approval_deadline_can_be_searched_for(shop: Storefront) -> None:
    order = await shop.place(BIG)
    snapshot = await order.reaches(OrderStatus.AWAIT_APPROVAL)

    attributes = (await order.handle.describe()).typed_search_attributes

    assert attributes.get(contract.ORDER_APPROVAL_DEADLINE) == snapshot.approval.deadline
    assert attributes.get(contract.ORDER_TOTAL_MINOR) == 150_000
    assert (attributes.get(contract.ORDER_ID) or "").startswith("order-")


async def test_the_timers_of_an_order_are_named(shop: Storefront) -> None:
    order = await shop.place(BIG)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    (started,) = [event for event in await order.events() if event.HasField("timer_started_event_attributes")]

    assert json.loads(started.user_metadata.summary.data) == "approval window"
