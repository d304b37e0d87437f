"""The state machine notices when a guard is gone: one guard at a time is taken away, and a violation must be found.
A guard that runs of an earlier release alone need, such as the row that an undo leaves of what was not begun, is taken
away in tests/mutations."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import SETTINGS, sqlite_bench
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from order_machine import machine_on
from sqlalchemy import Connection
from violation import Violation

from order_domain import errors
from order_worker.ledger import halt, operations, orders, payments, refunds, stock, undoing
from order_worker.ledger.locked_order import lock
from order_worker.ledger.operations import Operation
from order_worker.providers.payment import simulated
from order_worker.providers.payment.simulated import SimulatedPayments
from order_workflows import acceptance, compensation
from order_workflows.activities.effect import EffectKind

pytestmark = pytest.mark.mutations

QUICK = settings(SETTINGS, max_examples=1500, phases=[Phase.generate])
"""Finding is enough; nobody reads the example."""

Find = Callable[..., str | None]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Runs the machine and returns the code of the invariant that broke, or None."""

    def run(*, ledger: str = "") -> str | None:
        with sqlite_bench(tmp_path, change=ledger) as bench:
            try:
                run_state_machine_as_test(seed(1)(machine_on(bench)), settings=QUICK)
            except Violation as violation:
                print(f"after {bench.steps} steps: {violation}")  # noqa: T201
                return str(violation).partition(":")[0]
        return None

    return run


def test_the_machine_finds_a_call_without_an_intent(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    intend, close = operations.open_intent, operations._close_intent

    def forget(tx: Connection, operation: Operation) -> bool:
        return (operation.kind == "ship" and operations.recall(tx, operation) is None) or intend(tx, operation)

    def catch_up(tx: Connection, order: Any, operation: Operation, outcome: Any, *, called: bool) -> bool:
        if operation.kind == "ship":
            intend(tx, operation)
        return close(tx, order, operation, outcome, called=called)

    monkeypatch.setattr(operations, "open_intent", forget)
    monkeypatch.setattr(operations, "_close_intent", catch_up)
    assert find() == "I2"


def test_the_machine_finds_a_missing_unique_index(find: Find) -> None:
    assert find(ledger="DROP INDEX uq_orders_number") == "I5"


def test_the_machine_finds_a_missing_status_trigger(find: Find) -> None:
    assert find(ledger="DROP TRIGGER orders_status_guard") == "I6"


def test_the_machine_finds_a_second_refund(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    refund = simulated._refund

    def again(wanted: Any, tx: Any) -> Any:
        known = tx.execute("SELECT 1 FROM refunds WHERE key = ?", (wanted.key,)).fetchone()
        given = refund(wanted, tx)
        if known is not None:
            tx.execute("UPDATE refunds SET amount_minor = 2 * amount_minor WHERE key = ?", (wanted.key,))
        return given

    monkeypatch.setattr(simulated, "_refund", again)
    assert find() == "I1"


def test_the_machine_finds_a_second_release(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    release = stock.release

    def twice(tx: Connection, request: Any) -> Any:
        reservation = tx.execute(stock._RESERVATION, {"reservation": request.reserve_operation_id}).all()
        given_back = {row.sku: row.quantity for row in reservation if row.state == "released"}
        stock._move(tx, given_back, on_hand=1, reserved=-1)
        return release(tx, request)

    monkeypatch.setattr(stock, "release", twice)
    assert find(ledger=PIECES_UNCHECKED) == "I3"


PIECES_UNCHECKED = """
PRAGMA writable_schema=ON;
UPDATE sqlite_schema SET sql = replace(sql, 'on_hand >= 0 AND reserved >= 0 AND sold >= 0', 'on_hand >= 0');
PRAGMA writable_schema=RESET;
"""


def test_the_machine_finds_a_change_without_an_audit_event(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = operations._audit

    def leave_out(tx: Connection, order: Any, operation: Operation, *rest: Any) -> None:
        if operation.kind != "refund":
            audit(tx, order, operation, *rest)

    monkeypatch.setattr(operations, "_audit", leave_out)
    assert find() == "I10"


def test_the_machine_finds_a_new_key_at_every_attempt(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    charge = SimulatedPayments.charge
    number = count()

    async def anew(provider: SimulatedPayments, key: str, **request: Any) -> Any:
        return await charge(provider, f"{key}/{next(number)}", **request)

    monkeypatch.setattr(SimulatedPayments, "charge", anew)
    assert find() == "I2"


def test_the_machine_finds_a_charge_that_its_refund_did_not_make_void(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund = simulated._refund

    def only_what_was_taken(wanted: Any, tx: Any) -> Any:
        return None if simulated._row(wanted.charge_key, tx) is None else refund(wanted, tx)

    monkeypatch.setattr(simulated, "_refund", only_what_was_taken)
    assert find() in ("I1", "I2")


def test_the_machine_finds_other_parameters_under_the_same_id(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Operation, "params_hash", "the same")
    assert find() == "I2"


def test_the_machine_finds_a_second_decision(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "refusal_of_decision", lambda *_: None)
    assert find() == "I9"


@pytest.mark.parametrize("kind", [EffectKind.RESERVE, EffectKind.CHARGE, EffectKind.SHIP])
def test_the_machine_finds_an_effect_that_the_halt_does_not_tell(
    find: Find, monkeypatch: pytest.MonkeyPatch, kind: EffectKind
) -> None:
    begun = halt._begun
    monkeypatch.setattr(halt, "_begun", lambda *known: [row for row in begun(*known) if row.kind != kind])
    # Either it is lost, or the ledger refuses the end, and goes on refusing it.
    assert find() in ("I1", "I3", "I11", "I16")


def test_the_machine_finds_a_refund_that_does_not_wait_for_the_parcel(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = compensation._Round.run
    monkeypatch.setattr(compensation._Round, "run", lambda undoing, **_: run(undoing, all_at_once=True))
    assert find() in ("I1", "I11")  # a sum that the ledger does not owe keeps the order in Manual Review


def test_the_machine_finds_a_database_that_lets_an_order_end_as_it_likes(find: Find) -> None:
    assert find(ledger="DROP TRIGGER orders_completed_guard; DROP TRIGGER orders_ended_guard") == "I3"


def test_the_machine_finds_money_booked_wrongly(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "book_refund", lambda *_: None)
    assert find() == "I2"


def test_the_machine_finds_an_order_that_is_undone_without_being_halted(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (operations, orders, stock):
        monkeypatch.setattr(module, "refuse_if_undone", lambda *_: None)
    assert find() in ("I1", "I2", "I3", "I11", "I16")


def test_the_machine_finds_an_operation_that_forgets_that_it_was_reversed(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (orders, refunds, stock, undoing):
        monkeypatch.setattr(module, "mark_reversed", lambda *_: None)
    # The database marks it, too: for workers of an earlier release, which do not.
    assert find(ledger="DROP TRIGGER operations_began_reversal; DROP TRIGGER operations_ended_reversal") in (
        "I1",
        "I2",
        "I3",
        "I11",
        "I16",
    )


def test_the_machine_finds_a_success_that_is_replayed_after_the_halt(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse, recall, open_intent = operations.refuse_if_undone, operations.recall, operations.open_intent

    def only_if_new(order: Any, operation: Operation) -> None:
        with suppress(errors.OperationCancelled):
            refuse(order, operation)

    def recall_or_refuse(tx: Connection, operation: Operation) -> Any:
        known = recall(tx, operation)
        if known is None:
            refuse(lock(tx, operation.order), operation)
        return known

    def open_or_refuse(tx: Connection, operation: Operation) -> bool:
        opened = open_intent(tx, operation)
        if opened:
            refuse(lock(tx, operation.order), operation)
        return opened

    monkeypatch.setattr(operations, "open_intent", open_or_refuse)
    for module in (operations, orders, stock):
        monkeypatch.setattr(module, "refuse_if_undone", only_if_new)
        monkeypatch.setattr(module, "recall", recall_or_refuse)
    assert find() in ("I1", "I2", "I3", "I11", "I16")


def test_the_machine_finds_a_takeover_that_forgets_what_was_begun(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = halt._begun
    monkeypatch.setattr(halt, "_begun", lambda *known: begun(*known)[:-1])
    # The ledger refuses the end that does not fit its books, and goes on refusing it.
    assert find() in ("I1", "I3", "I11", "I16")
