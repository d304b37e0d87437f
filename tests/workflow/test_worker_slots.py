"""How many orders a worker carries at a time: those under way never keep others from beginning."""

from real_shop import RealShop, shipping_class
from storefront import eventually

CHECKED = ["Receive", "Validate", "CheckFraud", "ChargePayment"]
PATIENT = {"default": {"start_to_close_seconds": 120}}
"""Nobody asks twice while the test lasts."""


async def test_orders_begin_while_the_tasks_of_many_others_wait_for_a_company(real: RealShop) -> None:
    """Requests for tasks of orders under way held every slot that was free: with one task in a long local activity no
    order began for as much as a minute."""
    waiting = real.settings.max_concurrent_workflow_tasks * 2 // 3
    policy = shipping_class(CHECKED, retry=PATIENT)
    real.fraud.holds("check")
    for _ in range(waiting):
        await real.place(policy=policy)
    await eventually(lambda: asked(real, waiting), f"{waiting} orders wait for the fraud check")

    await real.place(policy=policy)

    await eventually(lambda: asked(real, waiting + 1), "the next order gets to its fraud check")


async def asked(real: RealShop, times: int) -> bool:
    """Whether the company has been asked so often; it has answered none yet."""
    return real.fraud.asked.get("check", 0) == times
