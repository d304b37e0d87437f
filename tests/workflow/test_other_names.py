"""Who knows one of the reference systems is heard in its words."""

from typing import Any

import pytest
from builders import a_line, a_policy, an_address, an_order_spec
from fake_activities import World
from storefront import PlacedOrder, Storefront, eventually

from order_domain.snapshot import DecisionOutcome
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import Decision

ASKING = a_policy(approval={"mode": "Always", "window_seconds": 300})


async def waiting(shop: Storefront, **changes: Any) -> PlacedOrder:
    order = await shop.place(policy=ASKING, **changes)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    return order


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("getProgress", contract.QUERY_PROGRESS),
        ("progress", contract.QUERY_PROGRESS),
        ("getItems", contract.QUERY_ITEMS),
        ("get-items", contract.QUERY_ITEMS),
        ("get-status", contract.QUERY_STATUS),
    ],
)
async def test_a_query_of_theirs_is_answered_as_ours(shop: Storefront, name: str, own: str) -> None:
    lines = [a_line(line_id="2"), a_line(line_id="1", sku="PROD-002")]
    order = await waiting(shop, spec=an_order_spec(lines=lines))

    answer = await order.handle.query(name)

    assert answer == await order.handle.query(own)
    assert answer


async def test_update_order_of_000_changes_the_street_and_answers_with_it(shop: Storefront, world: World) -> None:
    order = await waiting(shop)

    assert await order.handle.execute_update("UpdateOrder", {"Address": "7 Rose Street"}) == "7 Rose Street"

    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))
    await order.result()
    assert world.delivered == {"1": an_address(line1="7 Rose Street")}


@pytest.mark.parametrize("argument", [{"Address": " "}, {"Address": 7}, {}, "7 Rose Street"], ids=str)
async def test_update_order_of_000_refuses_what_is_no_address(shop: Storefront, argument: object) -> None:
    order = await waiting(shop)

    assert await order.refuses("UpdateOrder", argument) == "InvalidAddress"


async def test_update_order_of_000_keeps_the_rule_of_the_class(shop: Storefront) -> None:
    policy = ASKING.model_copy(
        update={"address_window": ASKING.address_window.model_copy(update={"house_number_first": True})}
    )
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)

    assert await order.refuses("UpdateOrder", {"Address": "Rose Cottage"}) == "InvalidAddress"


async def test_the_signal_update_order_of_000_changes_the_street(shop: Storefront, world: World) -> None:
    order = await waiting(shop)

    for argument in ({"Address": "\u200b"}, {"Address": "7 Rose Street"}, {"Address": ""}, "8 Rose Street"):
        await order.handle.signal("UpdateOrder", argument)
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    await order.result()
    assert world.delivered == {"1": an_address(line1="7 Rose Street")}


async def test_approve_payment_of_003_approves_with_the_name(shop: Storefront) -> None:
    order = await waiting(shop)

    await order.handle.signal("approve-payment", {"ApprovedBy": " "})
    await order.handle.signal("approve-payment", {"ApprovedBy": "admin"})

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    approval = (await order.snapshot()).approval
    assert (approval.decision, approval.by, approval.via) == (DecisionOutcome.APPROVED, "admin", "signal")


async def test_cancel_order_of_003_cancels_with_the_reason(shop: Storefront, world: World) -> None:
    order = await waiting(shop)

    await order.handle.signal("cancel-order", {"Reason": "changed my mind"})

    result = await order.result()
    assert result.status == OrderStatus.ORDER_CANCELLED
    assert "changed my mind" in (result.message or "")
    assert world.untouched


async def test_add_line_item_of_003_adds_a_line_at_the_price_of_the_article(shop: Storefront, world: World) -> None:
    order = await waiting(shop)

    await order.handle.signal("add-line-item", {"SKU": "PROD-002", "Quantity": 1})
    await order.handle.signal("add-line-item", {"SKU": "PROD-001", "Quantity": 0})
    await order.handle.signal("add-line-item", {"SKU": "PROD-001", "Quantity": 3})
    await order.handle.signal("add-line-item", {"SKU": "PROD-001", "Quantity": 2})

    async def all_added() -> bool:
        return (await order.snapshot()).total_minor == 300_000

    await eventually(all_added, "six pieces")
    items = await order.handle.query(contract.QUERY_ITEMS)
    assert [(item["lineID"], item["sku"], item["quantity"]) for item in items] == [
        ("1", "PROD-001", 1),
        ("2", "PROD-001", 3),
        ("3", "PROD-001", 2),
    ]
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob", total_minor=300_000))
    assert (await order.result()).total_minor == world.balance == 300_000


async def test_an_order_of_an_earlier_release_hears_none_of_these_signals(shop: Storefront, world: World) -> None:
    """Its history may hold some, and a replay has to do what was done then."""
    order = await waiting(shop, revision=3)

    await order.handle.signal("UpdateOrder", {"Address": "7 Rose Street"})
    await order.handle.signal("cancel-order", {"Reason": "no"})
    await order.handle.signal("add-line-item", {"SKU": "PROD-001", "Quantity": 3})
    await order.handle.signal("approve-payment", {"ApprovedBy": "admin"})
    await order.update(contract.UPDATE_APPROVE, Decision(by="bob"))

    assert (await order.result()).total_minor == 50_000
    assert (await order.snapshot()).approval.by == "bob"
    assert world.delivered == {"1": an_address()}
