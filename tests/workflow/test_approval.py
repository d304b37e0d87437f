from datetime import UTC, datetime, timedelta

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus

from order_domain.order import OrderSpec
from order_domain.pipeline import StepName
from order_domain.snapshot import DecisionOutcome, StepState
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import Decision

AWAITS = OrderStatus.AWAIT_APPROVAL


def costing(minor: int, **changes: object) -> OrderSpec:
    """An order of this total; the class asks for approval above 100000."""
    return an_order_spec(lines=[a_line(unit_price_minor=minor)], **changes)


async def a_waiting_order(shop: Storefront, **changes: object) -> PlacedOrder:
    order = await shop.place(costing(150_000), **changes)
    await order.reaches(AWAITS)
    return order


async def test_an_order_of_exactly_the_threshold_needs_no_approval(shop: Storefront) -> None:
    order = await shop.place(costing(100_000))

    await order.result()

    assert AWAITS not in [snapshot.status for snapshot in await order.published()]


async def test_an_order_above_the_threshold_waits_before_it_is_charged(shop: Storefront, world: World) -> None:
    await a_waiting_order(shop)

    assert world.count("charge_payment") == 0


async def test_a_waiting_order_says_until_when_and_for_what(shop: Storefront) -> None:
    order = await shop.place(costing(150_000))

    snapshot = await order.reaches(AWAITS)

    assert snapshot.pending_action is not None
    assert snapshot.pending_action.kind == "Approve"
    assert snapshot.pending_action.message.startswith("waits for approval of 1500.00 USD until ")
    assert snapshot.approval.required
    assert snapshot.approval.deadline == snapshot.pending_action.deadline
    assert snapshot.updated_at is not None
    assert snapshot.approval.deadline == snapshot.updated_at + timedelta(seconds=300)
    assert snapshot.current_step is StepName.APPROVAL


async def test_temporals_own_page_says_where_the_order_is_and_what_it_waits_for(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    metadata = await order.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)

    assert "**Await Approval**" in metadata.current_details
    assert "waits for approval of" in metadata.current_details
    assert "- Approval Waiting" in metadata.current_details


async def test_requires_approval_is_true_only_while_a_decision_is_awaited(shop: Storefront) -> None:
    order = await a_waiting_order(shop)
    assert await order.handle.query(contract.QUERY_REQUIRES_APPROVAL, result_type=bool)

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    await order.result()

    assert not await order.handle.query(contract.QUERY_REQUIRES_APPROVAL, result_type=bool)


async def test_an_approved_order_completes(shop: Storefront, world: World) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    result = await order.result()
    await shop.record("approved", order)
    assert result.status == OrderStatus.ORDER_COMPLETED
    assert world.balance == 150_000


async def test_an_approval_is_recorded_with_who_when_and_why(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", reason="known customer"))
    await order.result()

    approval = (await order.snapshot()).approval
    assert (approval.decision, approval.by, approval.reason) == (DecisionOutcome.APPROVED, "bob", "known customer")
    assert approval.at is not None
    assert abs(datetime.now(UTC) - approval.at) < timedelta(minutes=1)


async def test_a_decided_order_waits_for_nobody(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    await order.result()

    assert (await order.snapshot()).pending_action is None


async def test_a_rejected_order_ends_as_a_completed_run_that_says_why(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_REJECT, Decision(by="bob", reason="too dear"))

    result = await order.result()
    await shop.record("rejected", order)
    assert result.status == OrderStatus.ORDER_REJECTED
    assert result.message == "rejected by bob: too dear"
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_a_rejected_order_has_charged_nothing_and_released_its_stock(shop: Storefront, world: World) -> None:
    order = await a_waiting_order(shop)

    await order.update(contract.UPDATE_REJECT, Decision(by="bob"))
    await order.result()

    assert world.count("charge_payment") == 0
    assert world.count("release_stock") == 1
    assert world.untouched
    assert world.ends[order.uid] == OrderStatus.ORDER_REJECTED


async def test_an_order_nobody_decides_expires_with_its_stock_released(shop: Storefront, world: World) -> None:
    soon = a_policy(approval={"mode": "Always", "window_seconds": 1})
    order = await shop.place(policy=soon)

    result = await order.result()

    await shop.record("expired", order)
    assert result.status == OrderStatus.ORDER_EXPIRED
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert world.count("release_stock") == 1
    assert world.untouched


async def test_an_expiry_is_shown_as_the_end_of_the_approval(shop: Storefront) -> None:
    order = await shop.place(policy=a_policy(approval={"mode": "Always", "window_seconds": 1}))
    await order.result()

    snapshot = await order.snapshot()

    assert snapshot.approval.decision is DecisionOutcome.EXPIRED
    assert snapshot.last_error is not None
    assert snapshot.last_error.type == "ApprovalExpired"
    states = {record.name: record.state for record in snapshot.steps}
    assert states[StepName.APPROVAL] is StepState.FAILED
    assert StepName.CHARGE_PAYMENT not in states


async def test_a_decision_before_the_gate_is_kept(shop: Storefront) -> None:
    order = await shop.place(costing(150_000, suspend=True))
    await order.holds_before_first_step()

    await order.update(contract.UPDATE_APPROVE, Decision(by="early"))
    await order.update(contract.UPDATE_RESUME)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert AWAITS not in [snapshot.status for snapshot in await order.published()]
    assert (await order.snapshot()).approval.by == "early"


@pytest.mark.parametrize("second", [contract.UPDATE_APPROVE, contract.UPDATE_REJECT])
async def test_a_second_decision_is_refused(shop: Storefront, second: str) -> None:
    order = await shop.place(costing(150_000, suspend=True))
    await order.holds_before_first_step()
    await order.update(contract.UPDATE_APPROVE, Decision(by="first"))

    assert await order.refuses(second, Decision(by="second")) == "AlreadyDecided"


async def test_a_decision_about_an_order_that_needs_none_is_refused(shop: Storefront) -> None:
    order = await shop.place(costing(100_000, suspend=True))
    await order.holds_before_first_step()

    assert await order.refuses(contract.UPDATE_APPROVE, Decision(by="bob")) == "ApprovalNotRequired"


async def test_an_order_in_another_currency_than_the_thresholds_waits(shop: Storefront) -> None:
    order = await shop.place(costing(1, currency="EUR"))

    await order.reaches(AWAITS)


async def test_the_signal_approve_order_true_approves(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    await order.handle.signal(contract.SIGNAL_APPROVE_ORDER, True)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_the_signal_approve_order_false_rejects(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    await order.handle.signal(contract.SIGNAL_APPROVE_ORDER, False)

    assert (await order.result()).status == OrderStatus.ORDER_REJECTED


async def test_the_signal_approve_approves(shop: Storefront) -> None:
    order = await a_waiting_order(shop)

    await order.handle.signal(contract.SIGNAL_APPROVE)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


async def test_a_signal_after_the_decision_changes_nothing(shop: Storefront) -> None:
    order = await shop.place(costing(150_000, suspend=True))
    await order.holds_before_first_step()
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    await order.handle.signal(contract.SIGNAL_APPROVE_ORDER, False)
    await order.update(contract.UPDATE_RESUME)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert (await order.snapshot()).approval.by == "bob"


async def test_an_order_that_costs_nothing_needs_no_approval_in_any_currency(shop: Storefront, world: World) -> None:
    spec = an_order_spec(
        currency="EUR",
        lines=[a_line(unit_price_minor=500)],
        charges=[{"charge_id": "gift", "kind": "Discount", "amount_minor": -500}],
    )

    order = await shop.place(spec=spec)

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert not (await order.snapshot()).approval.required
    assert world.charged == {}
    assert world.delivered == {"1": an_address()}


async def test_an_order_that_is_rejected_while_somebody_holds_it_ends_as_rejected(
    shop: Storefront, world: World
) -> None:
    order = await shop.place(costing(150_000, suspend=True))
    await order.holds_before_first_step()

    await order.update(contract.UPDATE_REJECT, Decision(by="bob"))

    assert (await order.result()).status == OrderStatus.ORDER_REJECTED
    assert world.calls == ["halt_order", "notify_customer", "close_order"]
