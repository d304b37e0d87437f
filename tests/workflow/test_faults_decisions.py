"""What is decided about an order and what the fraud check is asked, on the product's own worker with its own ledger."""

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from real_shop import QUICK, RealShop
from storefront import PlacedOrder
from temporalio.client import WorkflowUpdateFailedError

from order_domain.order import lines_digest
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_workflows import contract, timing
from order_workflows.contract import AddressChange, CancelRequest, Decision, LinesChange

DEAR = an_order_spec(lines=[a_line(unit_price_minor=150_000)])


async def waits_for_approval(real: RealShop, **policy: object) -> PlacedOrder:
    order = await real.place(DEAR, policy=a_policy(retry=QUICK, **policy))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


async def asked_countries(real: RealShop) -> list[str]:
    checks = [row for row in await real.rows(tables.operations) if row["kind"] == "check_fraud"]
    return [row["params"]["country"] for row in sorted(checks, key=lambda row: row["created_at"])]


async def notes_of(real: RealShop) -> dict[str, dict[str, object]]:
    return {
        row["kind"]: {**row["data"], **(row["private"] or {})}
        for row in await real.rows(tables.audit_events)
        if row["kind"] in ("approved", "cancelled", "address_changed", "lines_changed", "rejected")
    }


async def test_an_approval_of_other_lines_than_those_in_force_is_refused(real: RealShop) -> None:
    order = await waits_for_approval(real)
    dearer = [a_line(unit_price_minor=9_000_000)]
    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=dearer))

    seen = {"total_minor": 150_000, "currency": "USD", "digest": lines_digest(DEAR.lines, [])}
    for decision in (
        Decision(by="bob", generation=1),
        Decision(by="bob", generation=1, **seen),
        Decision(by="bob", total_minor=150_000, currency="USD"),
    ):
        await order.refuses(contract.UPDATE_APPROVE, decision)

    assert (await real.books(order)).kept == 0
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=9_000_000, currency="USD"))
    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED
    await real.carried_out(order, total=9_000_000)


async def test_another_country_after_the_fraud_check_is_asked_about_before_a_parcel_leaves(real: RealShop) -> None:
    order = await waits_for_approval(real)
    await order.update(
        contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(country="KP", line1="1 Far Away"))
    )
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=150_000, currency="USD"))

    await real.ends(order)

    assert await asked_countries(real) == ["US", "KP"]


async def test_the_same_country_is_not_asked_about_again(real: RealShop) -> None:
    order = await waits_for_approval(real)
    await order.update(contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(line1="9 Other Street")))
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=150_000, currency="USD"))

    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED

    assert await asked_countries(real) == ["US"]


async def test_a_fraud_check_that_is_down_during_an_edit_blocks_decisions_no_longer_than_its_bound(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "EDIT_QUESTION_SECONDS", 2)
    retry = {"default": {"max_interval_seconds": 1, "start_to_close_seconds": 1}}  # attempts without limit
    order = await real.place(DEAR, policy=a_policy(retry=retry))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    real.fraud.is_down_for("check")

    with pytest.raises(WorkflowUpdateFailedError):
        await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[a_line(quantity=2)], generation=2))

    assert (await order.snapshot()).status is OrderStatus.AWAIT_APPROVAL
    await order.update(contract.UPDATE_REJECT, Decision(by="bob"))
    assert await real.ends(order) == OrderStatus.ORDER_REJECTED
    await real.kept_nothing(order)


async def test_an_approval_window_that_ends_during_an_edit_expires_the_order_after_the_bound(
    real: RealShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "EDIT_QUESTION_SECONDS", 2)
    retry = {"default": {"max_interval_seconds": 1, "start_to_close_seconds": 1}}
    order = await real.place(DEAR, policy=a_policy(retry=retry, approval={"mode": "Always", "window_seconds": 3}))
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    real.fraud.is_down_for("check")

    with pytest.raises(WorkflowUpdateFailedError):
        await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[a_line(quantity=2)], generation=2))

    assert await real.ends(order) == OrderStatus.ORDER_EXPIRED
    await real.kept_nothing(order)


async def test_the_audit_trail_says_who_approved_what_and_that_the_address_was_changed(real: RealShop) -> None:
    order = await waits_for_approval(real)
    await order.update(
        contract.UPDATE_CHANGE_ADDRESS, AddressChange(address=an_address(line1="9 Other Street"), by="eve")
    )
    await order.update(
        contract.UPDATE_APPROVE, Decision(by="bob", reason="known customer", total_minor=150_000, currency="USD")
    )
    assert await real.ends(order) == OrderStatus.ORDER_COMPLETED

    notes = await notes_of(real)
    approved = notes["approved"]
    assert (approved["by"], approved["reason"], approved["totalMinor"]) == ("bob", "known customer", 150_000)
    assert notes["address_changed"]["by"] == "eve"


async def test_the_audit_trail_says_who_cancelled_and_why_the_money_went_back(real: RealShop) -> None:
    gate = real.carrier.holds("dispatch")
    order = await real.place(policy=a_policy(retry=QUICK, approval={"mode": "Never"}))
    await order.reaches(OrderStatus.SHIP_ORDER)
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana", reason="changed my mind"))
    gate.set()
    assert await real.ends(order) == OrderStatus.ORDER_CANCELLED

    cancelled = (await notes_of(real))["cancelled"]
    assert (cancelled["by"], cancelled["reason"]) == ("ana", "changed my mind")
    refunds = [row["private"] for row in await real.rows(tables.audit_events) if row["kind"] == "refund"]
    assert refunds[0]["params"]["reason"] == "Cancelled"
