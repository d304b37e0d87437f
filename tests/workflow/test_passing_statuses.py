"""Which statuses of an order that nothing holds up are never written, as docs/status.md lists them."""

import re

from builders import a_policy
from fake_activities import World
from pages import sections
from storefront import Storefront

from order_domain.errors import ProviderUnavailable
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows.pipeline import STEPS

EVERY_STEP = [step for step in StepName if step is not StepName.ADDRESS_WINDOW]
"""The window waits for somebody, always."""

ON_THE_PAGE = {
    OrderStatus(name)
    for name in re.findall(r"^- `(.+)`$", sections("docs/status.md")["Statuses that pass by"], re.MULTILINE)
}


async def test_the_statuses_that_a_fast_order_never_shows_are_those_of_the_page(shop: Storefront) -> None:
    order = await shop.place(policy=a_policy(pipeline=EVERY_STEP, approval={"mode": "Never"}))
    await order.result()

    written = {snapshot.status for snapshot in await order.published()}
    statuses = {STEPS[step].status for step in EVERY_STEP} - {None}

    assert statuses - written == ON_THE_PAGE


async def test_a_status_of_the_page_is_written_once_its_step_is_tried_again(shop: Storefront, world: World) -> None:
    world.fail("check_fraud", ProviderUnavailable("no answer"))
    order = await shop.place(policy=a_policy(pipeline=EVERY_STEP, approval={"mode": "Never"}))

    await order.reaches(OrderStatus.CHECK_FRAUD)

    world.repair("check_fraud")
