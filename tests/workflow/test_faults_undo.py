"""Answers that are lost, and attempts that fail while an order is being ended, on the product's own worker."""

from builders import a_line, a_policy, an_order_spec
from real_shop import SHIPPING, RealShop, shipping_class
from storefront import eventually

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_worker.ledger import tables
from order_workflows import contract
from order_workflows.contract import CancelRequest, LinesChange


async def test_money_and_units_wait_for_a_parcel_that_does_not_answer(real: RealShop) -> None:
    real.carrier.loses_answers_of("dispatch")
    real.carrier.is_down_for("find", "cancel")
    order = await real.place(policy=shipping_class())

    await order.reaches(OrderStatus.MANUAL_REVIEW)

    books = await real.books(order)
    assert (books.parcels, books.kept, books.held) == (1, 50_000, 1)
    real.carrier.recovers()
    await order.update(contract.UPDATE_RETRY)
    assert await real.ends(order) == OrderStatus.ORDER_FAILED
    await real.kept_nothing(order)


async def test_lines_are_not_changed_while_the_mail_about_a_refusal_is_tried(real: RealShop) -> None:
    real.mailer.is_down_for("send")
    spec = an_order_spec(customer={"id": "FRAUD-1", "email": "ana@example.com"})
    order = await real.place(spec)

    async def mail_tried() -> bool:
        return real.mailer.asked.get("send", 0) > 0

    await eventually(mail_tried, "a mail was tried")
    refusal = await order.refuses(contract.UPDATE_CHANGE_LINES, LinesChange(lines=[a_line(quantity=2)]))

    assert refusal == "OrderEnding"
    real.mailer.recovers()
    assert await real.ends(order) == OrderStatus.ORDER_REJECTED
    await real.kept_nothing(order)


async def test_a_cancellation_counts_though_the_attempt_under_way_fails(real: RealShop) -> None:
    gate = real.payments.holds("charge")
    real.payments.is_down_for("charge")
    order = await real.place(policy=a_policy(pipeline=SHIPPING, approval={"mode": "Never"}))
    await real.shows_step(order, StepName.CHARGE_PAYMENT)

    async def asked() -> bool:
        return real.payments.asked.get("charge", 0) > 0

    await eventually(asked, "the charge was asked for")
    await order.update(contract.UPDATE_CANCEL, CancelRequest(by="ana", reason="changed my mind"))
    gate.set()

    assert (await order.result()).status == OrderStatus.ORDER_CANCELLED
    shown = await order.snapshot()
    assert shown.last_error is not None
    assert "changed my mind" in shown.last_error.message
    await real.kept_nothing(order)


async def test_a_charge_without_an_answer_is_shown_with_what_was_captured_once_it_is_refunded(real: RealShop) -> None:
    real.payments.loses_answers_of("charge")
    real.payments.is_down_for("find_charge")
    retry = {"default": {"max_attempts": 1, "start_to_close_seconds": 5}}
    order = await real.place(policy=shipping_class(retry=retry))

    assert await real.ends(order) == OrderStatus.ORDER_FAILED

    payment = (await order.snapshot()).payment
    assert payment is not None
    assert payment.transaction_id == (await real.provider_rows("charges"))[0]["transaction_id"]
    assert (payment.captured_minor, payment.refunded_minor) == (50_000, 50_000)
    assert (await real.rows(tables.payments))[0]["captured_minor"] == 50_000
