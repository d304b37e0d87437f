"""A standby of the ledger that lacks the last second takes over while a company is being asked, and the order's class
gives up after a few attempts: what the company did is undone all the same."""

import sqlite3

from fake_activities import World
from real_shop import SHIPPING, RealShop, shipping_class
from storefront import Storefront, eventually

from order_domain.errors import OperationConflict, PaymentDeclined
from order_domain.status import OrderStatus
from order_workflows import contract
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect
from order_workflows.contract import CancelRequest


async def test_a_parcel_that_the_standby_knows_nothing_of_is_called_back(real: RealShop) -> None:
    """The order failed, the money was given back, and the parcel was on its way."""
    pipeline = [step for step in SHIPPING if step != "Ship"] + ["AddressWindow", "Ship"]
    order = await real.place(policy=shipping_class(pipeline, address_window={"seconds": 1, "via": "Update"}))
    await order.reaches(OrderStatus.AWAIT_ADDRESS)
    standby = real.folder / "standby.db"
    with sqlite3.connect(real.folder / "ledger.db") as primary, sqlite3.connect(standby) as copy:
        primary.backup(copy)
    real.carrier.loses_answers_of("dispatch")
    real.carrier.holds("find")

    async def is_asked_again() -> bool:
        return real.carrier.asked.get("find", 0) > 0

    await eventually(is_asked_again, "the second attempt")
    await real.stop_working()
    await real.open_ledger(f"sqlite:///{standby}")
    real.carrier.recovers()
    await real.work()

    await real.ends(order)
    books = await real.books(order)
    assert (books.parcels, books.kept) in ((0, 0), (1, books.captured)), books


async def test_a_charge_that_was_declined_has_its_answer(shop: Storefront, world: World) -> None:
    world.fail("charge_payment", PaymentDeclined("card_declined"))
    order = await shop.place()
    await order.reaches(OrderStatus.ORDER_FAILED)

    assert world.halts[order.uid].known.unanswered == []


async def test_an_order_tells_the_ledger_what_it_has_asked_for_and_has_no_answer_to(
    shop: Storefront, world: World
) -> None:
    charge = world.hold("charge_payment")
    world.fail("charge_payment", OperationConflict("the company knows another amount"))
    order = await shop.place()
    await charge.reached.wait()

    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana"))
    charge.release()
    await order.result()

    known = world.halts[order.uid].known
    assert known.unanswered == [BegunEffect(kind=EffectKind.CHARGE, operation_id=f"{order.uid}/charge")]
