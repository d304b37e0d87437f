"""The steps that look an order up before anything is touched."""

import asyncio

import pytest
from builders import a_line, a_policy, an_order_spec
from fake_activities import INITIAL_STOCK, World
from storefront import Storefront
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from order_domain.errors import ProviderUnavailable
from order_domain.order import OrderLine
from order_domain.policy import OrderClassSpec
from order_domain.snapshot import EnrichmentRecord
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import LinesChange

TOO_MANY = [a_line(quantity=INITIAL_STOCK + 1, unit_price_minor=1)]


def enriched(**changes: object) -> OrderClassSpec:
    return a_policy(pipeline=["Receive", "Enrich", "ReserveStock", "ChargePayment"], approval={}, **changes)


async def test_the_three_questions_overlap_in_time(shop: Storefront, world: World) -> None:
    questions = ["check_availability", "fetch_customer_profile", "fetch_recommendations"]
    holds = [world.hold(name) for name in questions]
    order = await shop.place(policy=enriched())

    async with asyncio.timeout(5):
        await asyncio.gather(*(hold.reached.wait() for hold in holds))

    world.release_all()
    await order.result()
    await shop.record("enriched", order)


async def test_the_answers_are_shown(shop: Storefront) -> None:
    order = await shop.place(policy=enriched())
    await order.result()

    enrichment = (await order.snapshot()).enrichment

    assert enrichment == EnrichmentRecord(tier="Gold", recommendations=["like PROD-001"])


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("fetch_customer_profile", EnrichmentRecord(recommendations=["like PROD-001"])),
        ("fetch_recommendations", EnrichmentRecord(tier="Gold")),
    ],
)
async def test_an_order_goes_on_without_an_answer_about_the_customer(
    shop: Storefront, world: World, question: str, left: EnrichmentRecord
) -> None:
    world.fail(question, ProviderUnavailable("down"))
    order = await shop.place(policy=enriched(retry={"default": {"max_attempts": 1}}))

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED
    assert (await order.snapshot()).enrichment == left


async def test_an_order_for_more_than_there_is_fails_before_anything_is_held(shop: Storefront, world: World) -> None:
    order = await shop.place(an_order_spec(lines=TOO_MANY), policy=enriched())

    with pytest.raises(WorkflowFailureError) as failed:
        await order.result()

    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "OutOfStock"
    assert world.count("reserve_stock") == 0


async def test_the_items_are_listed_by_line_id(shop: Storefront) -> None:
    policy = a_policy(pipeline=["Receive", "GetItems"], approval={})
    order = await shop.place(an_order_spec(lines=[a_line(line_id="b"), a_line(line_id="a")]), policy=policy)
    await order.result()

    items = (await order.snapshot()).items

    assert [(item.line_id, item.description) for item in items] == [("a", "a PROD-001"), ("b", "a PROD-001")]


async def test_the_items_follow_changed_lines(shop: Storefront) -> None:
    policy = a_policy(pipeline=["Receive", "GetItems", "Approval"], approval={"mode": "Always"})
    order = await shop.place(policy=policy)
    await order.reaches(OrderStatus.AWAIT_APPROVAL)
    lines: list[OrderLine] = [a_line(line_id="9", sku="PROD-002")]

    await order.update(contract.UPDATE_CHANGE_LINES, LinesChange(lines=lines))

    assert [item.sku for item in (await order.snapshot()).items] == ["PROD-002"]
