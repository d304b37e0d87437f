"""Courses of events in which money or pieces were lost once. Each is followed by a time without faults, after which the
invariants hold and the order has the end that it must have."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import sqlite_bench
from order_invariants import Books, check, read_books, taken_back
from order_machine import Bench
from shop_world import (
    APPROVE,
    CANCEL,
    CANCEL_SIGNAL,
    CUSTOMERS,
    INITIAL,
    LINES,
    METHODS,
    POSTAL_CODES,
    REJECT,
    SUSPEND,
    World,
    other_lines,
)
from temporal_stand_in import Message, Run
from workflow_loop import Call

from order_worker.ledger.verification import Verification
from order_workflows.acceptance import refusal_of_any_change

PACK = "WarehouseActivities.pack"
RESERVE, COMMIT, CHANGE = "StockActivities.reserve", "StockActivities.commit", "OrderActivities.change_lines"
CHARGE, REFUND, SHIP, CALL_BACK = (
    "PaymentActivities.charge",
    "PaymentActivities.refund",
    "ShippingActivities.ship",
    "ShippingActivities.cancel",
)
HALT, JUDGE = "OrderActivities.halt", "FraudActivities.check"
DEAR, OTHERS, DEARER = 4, 3, 5
"""Lines that need an approval."""
TOO_LATE = "99999"
"""Postal code from where no parcel can be called back."""


class Shop:
    """One order, and the invariants after each thing that happens to it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.world = World(bench.ledger, bench.store)
        self.books: Books | None = None

    def order(
        self, class_name: str = "standard", lines: int = 0, postal_code: str = POSTAL_CODES[0], quantity: int = 1
    ) -> None:
        """Cheap enough to need no approval, unless other lines or more units are asked for."""
        first, *others = LINES[lines]
        self.world.create(
            number="A",
            class_name=class_name,
            lines=[first.model_copy(update={"quantity": first.quantity * quantity}), *others],
            customer=CUSTOMERS[0],
            method=METHODS[0],
            postal_code=postal_code,
        )

    @property
    def run(self) -> Run:
        """The latest one."""
        return self.world.runs[0]

    def go_on_to(self, activity: str) -> Call:
        """Until the workflow asks for `activity`."""
        while True:
            for call in self.run.calls:
                if call.activity == activity:
                    return call
            assert self.run.calls, f"the order waits, and never comes to {activity}"
            self.attempt(self.run.calls[0])

    def attempt(self, call: Call) -> None:
        self.world.attempt(call)
        self.look()

    def give_up(self, activity: str) -> None:
        """Its attempts are used up, and none has reached the provider."""
        call = self.go_on_to(activity)
        while call in self.run.calls:
            self.world.lose_answer(call, 3)
        self.look()

    def lose_task(self, far: int, *messages: Message, cancel: bool = False) -> None:
        """So many local activities are committed, and the worker dies before the end of its task."""
        self.world.lose_task(self.run, far, 0, list(messages), cancel=cancel, again=True)
        self.look()

    def reset(self, to: int, *, reapply: bool) -> None:
        self.world.reset(self.run, to, reapply=reapply)
        self.look()

    def end(self) -> str:
        """Everybody is well again, and the trail fits the books; the ledger's status of the order then."""
        self.world.converge()
        self.look()
        assert self.bench.ledger.run(lambda tx: list(Verification().flaws(tx))) == []
        assert self.books is not None
        (uid,) = self.books.orders
        return str(self.books.orders[uid][0])

    def look(self) -> None:
        books = read_books(self.bench.read, self.bench.store.read)
        check(self.world, books, self.books)
        self.books, self.world.reversed = books, taken_back(books)

    @property
    def refunds(self) -> int:
        """How often the provider gave money back."""
        assert self.books is not None
        return len(self.books.refunds)


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    folder.mkdir(exist_ok=True)
    with sqlite_bench(folder) as bench:
        shop = Shop(bench)
        try:
            yield shop
        finally:
            shop.world.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as shop:
        yield shop


@pytest.mark.parametrize(("message", "cancel"), [(CANCEL, False), (CANCEL_SIGNAL, False), (None, True)])
def test_pieces_reserved_in_a_lost_task_are_free_after_a_cancel(
    shop: Shop, message: Message | None, cancel: bool
) -> None:
    shop.order()
    shop.go_on_to(RESERVE)
    shop.lose_task(1, *([message] if message else []), cancel=cancel)
    assert shop.end() == "Order Cancelled"


def test_a_run_that_begins_anew_tells_the_ledger_how_old_its_order_is(shop: Shop) -> None:
    shop.order()
    ordered_at = shop.run.loop.began - timedelta(days=3)
    shop.run.loop.workflow._order.input = shop.run.input.model_copy(update={"ordered_at": ordered_at})
    assert shop.go_on_to(CHARGE).request.ordered_at == ordered_at


def test_an_order_is_as_old_as_its_run_where_nobody_says_more(shop: Shop) -> None:
    shop.order()
    assert shop.go_on_to(CHARGE).request.ordered_at == shop.run.loop.began


def test_pieces_exchanged_in_a_lost_task_are_free_after_a_cancel(shop: Shop) -> None:
    shop.order(lines=DEAR)
    shop.go_on_to(RESERVE)
    shop.attempt(shop.run.calls[0])
    shop.run.tell(other_lines(LINES[OTHERS]))
    shop.go_on_to(CHANGE)
    shop.lose_task(1, CANCEL)
    assert shop.end() == "Order Cancelled"


@pytest.mark.parametrize("approved", [True, False])
def test_lines_changed_in_a_lost_task_are_those_that_are_paid_and_sold(shop: Shop, approved: bool) -> None:
    shop.order(lines=DEAR)
    shop.go_on_to(RESERVE)
    shop.attempt(shop.run.calls[0])
    shop.run.tell(other_lines(LINES[OTHERS]))
    shop.go_on_to(CHANGE)
    shop.lose_task(1, *([APPROVE] if approved else [other_lines(LINES[0])]))
    shop.run.tell(APPROVE)
    assert shop.end() == "Order Completed"


def test_lines_changed_again_to_those_sold_in_a_lost_task_leave_the_order_completed(shop: Shop) -> None:
    shop.order("unpaid", lines=DEAR)
    shop.go_on_to(RESERVE)
    shop.attempt(shop.run.calls[0])
    shop.run.tell(other_lines(LINES[0]))
    shop.go_on_to(CHANGE)
    shop.lose_task(3, SUSPEND, *[other_lines(LINES[0])] * 2)
    for _ in range(3):
        shop.attempt(shop.run.calls[0])
    shop.run.tell(CANCEL)
    assert shop.end() == "Order Completed"


@pytest.mark.parametrize(("message", "cancel"), [(CANCEL, False), (CANCEL_SIGNAL, False), (None, True)])
def test_an_order_sold_in_a_lost_task_is_completed_in_spite_of_a_cancel(
    shop: Shop, message: Message | None, cancel: bool
) -> None:
    shop.order()
    shop.go_on_to(COMMIT)
    shop.lose_task(1, *([message] if message else []), cancel=cancel)
    assert shop.end() == "Order Completed"


@pytest.mark.parametrize("far", [2, 3, 4])
def test_an_order_closed_in_a_lost_task_is_completed_in_spite_of_a_cancel(shop: Shop, far: int) -> None:
    shop.order("booked")
    shop.go_on_to(COMMIT)
    shop.lose_task(far, CANCEL)
    assert shop.end() == "Order Completed"


@pytest.mark.parametrize("reapply", [True, False])
def test_a_charge_whose_refund_failed_is_refunded_after_a_reset_to_any_task(tmp_path: Path, reapply: bool) -> None:
    to = 0
    while True:
        with opened(tmp_path / str(to)) as shop:
            shop.order()
            shop.world.stall(shop.go_on_to(SHIP), 2)
            shop.run.tell(CANCEL)
            shop.give_up(REFUND)
            if to == len(shop.run.record):
                return
            shop.reset(to, reapply=reapply)
            assert shop.end() in ("Order Cancelled", "Order Completed"), f"reset to task {to}"
        to += 1


def test_an_order_that_was_undone_is_not_shipped_by_a_reset(shop: Shop) -> None:
    shop.order()
    shop.go_on_to(SHIP)
    before_ship = len(shop.run.record) - 1
    shop.run.tell(CANCEL)
    assert shop.end() == "Order Cancelled"
    shop.reset(before_ship, reapply=False)
    assert shop.end() == "Order Cancelled"


def test_an_order_that_was_undone_but_for_its_parcel_is_not_completed_by_a_reset(shop: Shop) -> None:
    shop.order()
    shop.world.stall(shop.go_on_to(SHIP), 4)
    before_ship = len(shop.run.record) - 1
    shop.world.time_out(shop.run.calls[0])
    shop.run.tell(CANCEL)
    shop.give_up(CALL_BACK)
    shop.reset(before_ship, reapply=False)
    assert shop.end() == "Order Cancelled"


def test_a_completed_order_stays_so_after_a_reset_to_any_task(tmp_path: Path) -> None:
    to = 0
    while True:
        with opened(tmp_path / str(to)) as shop:
            shop.order()
            assert shop.end() == "Order Completed"
            if to == len(shop.run.record):
                return
            shop.reset(to, reapply=True)
            shop.run.tell(CANCEL)
            assert shop.end() == "Order Completed", f"reset to task {to}"
        to += 1


def test_no_money_goes_back_while_a_parcel_cannot_be_called_back(shop: Shop) -> None:
    shop.order()
    call = shop.go_on_to(SHIP)
    shop.world.stall(call, 4)
    shop.world.time_out(call)
    shop.run.tell(CANCEL)
    shop.give_up(CALL_BACK)
    for call in shop.run.calls:
        shop.attempt(call)
    assert shop.refunds == 0
    assert shop.end() == "Order Cancelled"
    assert shop.refunds == 1


def test_an_order_completed_with_other_lines_stays_so_after_a_reset_to_any_task(tmp_path: Path) -> None:
    to = 0
    while True:
        with opened(tmp_path / str(to)) as shop:
            shop.order(lines=DEAR)
            shop.go_on_to(RESERVE)
            shop.attempt(shop.run.calls[0])
            shop.run.tell(other_lines(LINES[1]))
            shop.go_on_to(CHANGE)
            shop.attempt(shop.run.calls[0])
            assert shop.end() == "Order Completed"
            if to == len(shop.run.record):
                return
            shop.reset(to, reapply=False)
            assert shop.end() == "Order Completed", f"reset to task {to}"
        to += 1


def test_a_refund_that_a_run_which_takes_over_asks_for_with_its_amount_is_told_as_it_was_begun(shop: Shop) -> None:
    shop.order()
    charge = shop.go_on_to(CHARGE)
    shop.world.stall(charge, 4)
    shop.world.time_out(charge)
    shop.run.tell(CANCEL)
    shop.world.stall(shop.go_on_to(REFUND), 2)
    shop.world.wake(shop.world.late[0], 10)
    shop.world.terminate(shop.run)
    assert shop.end() == "Order Cancelled"


@pytest.mark.parametrize("class_name", ["standard", "booked", "unreserved"])
def test_an_order_whose_parcel_was_too_far_stays_completed_after_a_reset_to_any_task(
    tmp_path: Path, class_name: str
) -> None:
    to = 0
    while True:
        with opened(tmp_path / str(to)) as shop:
            shop.order(class_name, postal_code=TOO_LATE)
            shop.world.stall(shop.go_on_to(SHIP), 4)
            shop.world.time_out(shop.run.calls[0])
            shop.run.tell(CANCEL)
            assert shop.end() == "Order Completed"
            if to == len(shop.run.record):
                return
            shop.reset(to, reapply=False)
            assert shop.end() == "Order Completed", f"reset to task {to}"
        to += 1


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_run_that_forgot_other_lines_refunds_by_those_in_force(tmp_path: Path, cancelled: bool) -> None:
    to = 0
    while True:
        with opened(tmp_path / str(to)) as shop:
            shop.order(lines=DEAR, postal_code=TOO_LATE)
            shop.go_on_to(RESERVE)
            shop.attempt(shop.run.calls[0])
            shop.run.tell(other_lines(LINES[DEARER]))
            shop.attempt(shop.go_on_to(CHANGE))
            shop.run.tell(APPROVE)
            shop.world.stall(shop.go_on_to(SHIP), 4)
            shop.world.time_out(shop.run.calls[0])
            if to == len(shop.run.record):
                return
            shop.reset(to, reapply=False)
            if cancelled:
                shop.run.tell(CANCEL)
            assert shop.end() == "Order Completed", f"reset to task {to}"
            assert shop.refunds == 0
        to += 1


def test_a_run_that_forgot_the_lines_it_had_packed_asks_a_person_who_can_cancel_the_order(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        shop.order("unreserved")
        shop.run.tell(other_lines(LINES[1]))
        shop.attempt(shop.go_on_to(PACK))
        shop.reset(0, reapply=False)
        while shop.run.calls:
            shop.attempt(shop.run.calls[0])
        asked = shop.run.order.pending_action
        assert asked is not None
        assert asked.message.endswith("then raise spec.retry by one, or cancel the order")
        shop.run.tell(CANCEL)
        assert shop.end() == "Order Cancelled"


def test_manual_review_of_an_undo_does_not_offer_to_cancel_the_order(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        shop.order("unreserved")
        shop.attempt(shop.go_on_to(CHARGE))
        shop.run.tell(CANCEL)
        while not shop.run.order.under_review:
            shop.world.lose_answer(shop.run.calls[0], 3)
        asked = shop.run.order.pending_action
        assert asked is not None
        assert asked.message.endswith("then raise spec.retry by one")


def test_an_order_cancelled_while_its_units_are_asked_for_waits_for_none(shop: Shop) -> None:
    """It waited for stock, up to a year: the answer had taken the cancellation."""
    shop.order("patient", quantity=INITIAL["PROD-001"] + 1)
    call = shop.go_on_to(RESERVE)
    shop.world.stall(call, 0)
    shop.run.tell(CANCEL)
    shop.attempt(call)
    shop.go_on_to(HALT)
    assert shop.end() == "Order Cancelled"


def test_an_order_cancelled_while_its_edit_is_judged_waits_for_no_decision(shop: Shop) -> None:
    shop.order(lines=DEAR)
    shop.go_on_to(RESERVE)
    shop.attempt(shop.run.calls[0])
    shop.run.tell(other_lines(LINES[OTHERS]))
    judging = shop.go_on_to(JUDGE)
    shop.world.stall(judging, 0)
    shop.run.tell(CANCEL)
    shop.attempt(judging)
    shop.go_on_to(HALT)
    assert shop.end() == "Order Cancelled"


def test_an_order_cancelled_while_a_question_fails_does_not_ask_again(shop: Shop) -> None:
    shop.order()
    judging = shop.go_on_to(JUDGE)
    shop.world.stall(judging, 0)
    shop.run.tell(CANCEL)
    shop.world.time_out(judging)
    shop.go_on_to(HALT)
    assert shop.end() == "Order Cancelled"


def rejected_during_a_step(shop: Shop) -> Call:
    shop.order(lines=DEAR)
    call = shop.go_on_to(JUDGE)
    shop.world.stall(call, 0)
    shop.run.tell(REJECT)
    return call


def test_an_order_that_was_rejected_during_a_step_takes_no_more_changes(shop: Shop) -> None:
    """They were accepted, and lost with the order's end."""
    call = rejected_during_a_step(shop)
    assert refusal_of_any_change(shop.run.order) is not None
    shop.attempt(call)
    assert shop.end() == "Order Rejected"


def test_an_order_that_is_rejected_during_a_step_takes_no_other(shop: Shop) -> None:
    shop.attempt(rejected_during_a_step(shop))
    shop.go_on_to(HALT)
    assert RESERVE not in [call.activity for call in shop.run.made]
    assert shop.end() == "Order Rejected"
