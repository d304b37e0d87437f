"""What the shop knows of an order's articles and customer: shown, and never in the way."""

import asyncio

import pytest
from builders import STANDARD_PIPELINE, a_line, a_policy, an_order_spec
from fake_activities import INITIAL_STOCK, World
from storefront import Storefront
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from order_domain.errors import ProviderUnavailable
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec, ShortagePolicy
from order_domain.snapshot import MAX_LISTED_ITEMS, EnrichmentRecord
from order_domain.status import OrderStatus

PIPELINE = [StepName.RECEIVE, StepName.VALIDATE, StepName.GET_ITEMS, StepName.ENRICH]
PIPELINE += [step for step in STANDARD_PIPELINE if step not in PIPELINE]
TOO_MANY = an_order_spec(lines=[a_line(quantity=INITIAL_STOCK + 1, unit_price_minor=1)])
QUESTIONS = ["check_availability", "fetch_customer_profile", "fetch_recommendations"]


def enriching(**changes: object) -> OrderClassSpec:
    return a_policy(pipeline=PIPELINE, **changes)


async def test_the_items_are_listed_by_line_with_their_descriptions(shop: Storefront) -> None:
    lines = [
        a_line(line_id=line_id, sku=sku, unit_price_minor=1) for line_id, sku in (("b", "PROD-001"), ("a", "PROD-002"))
    ]
    order = await shop.place(an_order_spec(lines=lines), policy=enriching())
    await order.result()

    items = (await order.snapshot()).items

    assert [(item.line_id, item.sku, item.description) for item in items] == [
        ("a", "PROD-002", "a PROD-002"),
        ("b", "PROD-001", "a PROD-001"),
    ]


async def test_of_many_items_only_the_first_are_listed(shop: Storefront) -> None:
    lines = [a_line(line_id=f"{number:03}", unit_price_minor=1) for number in range(MAX_LISTED_ITEMS + 1)]
    order = await shop.place(an_order_spec(lines=lines), policy=enriching())
    await order.result()

    items = (await order.snapshot()).items

    assert [item.line_id for item in items] == [f"{number:03}" for number in range(MAX_LISTED_ITEMS)]


async def test_what_is_known_of_the_customer_is_shown(shop: Storefront) -> None:
    order = await shop.place(policy=enriching())
    await order.result()

    await shop.record("enriched", order)
    assert (await order.snapshot()).enrichment == EnrichmentRecord(tier="Gold", recommendations=["like PROD-001"])


async def test_of_many_recommendations_the_first_are_shown(shop: Storefront) -> None:
    lines = [a_line(line_id=f"{number:03}", unit_price_minor=1) for number in range(11)]
    order = await shop.place(an_order_spec(lines=lines), policy=enriching())
    await order.result()

    enrichment = (await order.snapshot()).enrichment

    assert enrichment is not None
    assert enrichment.recommendations == ["like PROD-001"] * 10


async def test_no_question_about_articles_or_customers_goes_over_the_task_queue(shop: Storefront) -> None:
    order = await shop.place(policy=enriching())
    await order.result()

    assert await order.scheduled() == ["charge_payment", "ship_line"]


async def test_the_three_questions_are_asked_at_once(shop: Storefront, world: World) -> None:
    holds = [world.hold(question) for question in QUESTIONS]
    order = await shop.place(policy=enriching())

    async with asyncio.timeout(20):
        await asyncio.gather(*(hold.reached.wait() for hold in holds))

    world.release_all()
    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("fetch_customer_profile", EnrichmentRecord(recommendations=["like PROD-001"])),
        ("fetch_recommendations", EnrichmentRecord(tier="Gold")),
    ],
)
async def test_an_answer_about_the_customer_that_cannot_be_had_is_left_out_after_three_attempts(
    shop: Storefront, world: World, question: str, left: EnrichmentRecord
) -> None:
    world.fail(question, ProviderUnavailable("down"))
    order = await shop.place(policy=enriching())

    assert (await order.result()).status == OrderStatus.ORDER_COMPLETED

    assert (await order.snapshot()).enrichment == left
    assert world.count(question) == 3


async def test_a_class_with_fewer_attempts_is_obeyed(shop: Storefront, world: World) -> None:
    world.fail("fetch_customer_profile", ProviderUnavailable("down"))
    order = await shop.place(policy=enriching(retry={"steps": {StepName.ENRICH: {"max_attempts": 1}}}))

    await order.result()

    assert world.count("fetch_customer_profile") == 1


async def test_an_order_for_more_than_there_is_fails_before_anything_is_held(shop: Storefront, world: World) -> None:
    order = await shop.place(TOO_MANY, policy=enriching())

    with pytest.raises(WorkflowFailureError) as failed:
        await order.result()

    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "OutOfStock"
    assert world.count("reserve_stock") == 0


async def test_no_question_is_left_behind_when_another_fails_the_order(shop: Storefront, world: World) -> None:
    profile = world.hold("fetch_customer_profile")
    order = await shop.place(TOO_MANY, policy=enriching())
    await profile.reached.wait()

    meanwhile = await shop.place()
    await meanwhile.result()
    assert list(world.ends) == [meanwhile.uid]
    profile.release()

    with pytest.raises(WorkflowFailureError):
        await order.result()
    assert world.ends[order.uid] == OrderStatus.ORDER_FAILED


async def test_an_order_of_a_class_with_backorders_goes_on_to_wait_for_its_pieces(shop: Storefront) -> None:
    order = await shop.place(TOO_MANY, policy=enriching(inventory={"on_shortage": ShortagePolicy.BACKORDER}))

    snapshot = await order.reaches(OrderStatus.AWAIT_STOCK)

    assert snapshot.enrichment == EnrichmentRecord(tier="Gold", recommendations=["like PROD-001"])
