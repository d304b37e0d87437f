"""A cancellation that is accepted while a charge is under way, whose outcome has to be learnt: that takes the task's
cancellation. tests/stateful/test_known_courses.py has the same for activities inside the workflow task."""

import pytest
from fake_activities import World
from storefront import Storefront
from temporalio.exceptions import ApplicationError

from order_domain.errors import BooksDisagree, LinesDiffer, OperationConflict
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.contract import CancelRequest


@pytest.mark.parametrize(
    "error",
    [
        OperationConflict("the company knows another amount"),
        BooksDisagree("the ledger holds nothing"),
        LinesDiffer("the ledger holds other lines"),
        ApplicationError("key k1 is missing", type="KeyMissing"),
    ],
    ids=["conflict", "books", "lines", "key"],
)
async def test_an_order_cancelled_during_a_charge_that_fails_is_undone_and_not_charged_again(
    shop: Storefront, world: World, error: Exception
) -> None:
    """It waited for a person, took no second cancellation, and charged the customer after the pause."""
    charge = world.hold("charge_payment")
    world.fail("charge_payment", error)
    order = await shop.place()
    await charge.reached.wait()

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    charge.release()

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    if isinstance(error, OperationConflict):
        await shop.record("cancelled-in-conflict", order)
    assert world.untouched
    assert (world.count("charge_payment"), world.count("change_lines")) == (1, 0)
