"""Random courses of events, after each of which the invariants are checked."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from boundaries import SteppedLedger, SteppedStore
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from order_invariants import OPEN, Books, Read, check, read_books, taken_back
from shop_world import (
    APPROVE,
    CANCEL,
    CANCEL_SIGNAL,
    CHARGES,
    CLASSES,
    CUSTOMERS,
    LINES,
    MAX_ORDERS,
    METHODS,
    ORDER_NUMBERS,
    POSTAL_CODES,
    REJECT,
    RESUME,
    SUSPEND,
    World,
    other_lines,
)
from sqlalchemy import update
from temporal_stand_in import Message, Run
from violation import Violation
from workflow_loop import Call

from order_domain.errors import LedgerRefused, OrderError, PermanentError
from order_worker.ledger import tables
from order_worker.ledger.verification import Verification

T = TypeVar("T")

PICK = st.integers(0, 99)
"""Which of those there are, counted round."""
BOUNDARIES = st.integers(1, 6)
"""How far an attempt comes; the longest way, of a first attempt at a provider, has six boundaries."""
MAX_RUNS = 4
"""Of one order."""
FAR = st.integers(1, 6)
"""How many calls are answered at once; a whole order makes a dozen, and is interesting in its middle."""


def _pick(among: Sequence[T], number: int) -> T:
    return among[number % len(among)]


@dataclass
class Bench:
    """The databases that all examples share, one after the other."""

    ledger: SteppedLedger
    store: SteppedStore
    read: Read
    """Straight from the ledger's database."""
    empty: Callable[[], object]
    steps: int = 0

    @property
    def name(self) -> str:
        """Which kind of database."""
        return self.ledger.name


class OrderMachine(RuleBasedStateMachine):
    """Each rule is one step. `machine_on` gives it its databases."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.bench.empty()
        self.bench.store.forget()
        self.world = World(self.bench.ledger, self.bench.store)
        self.books: Books | None = None
        self.tried: set[str] = set()

    @initialize(
        on_their_way=st.lists(
            st.tuples(
                st.sampled_from(sorted(CLASSES)), st.sampled_from(LINES), st.sampled_from(POSTAL_CODES[:-1]), FAR
            ),
            min_size=1,
            max_size=3,
        )
    )
    def open(self, on_their_way: list[tuple[str, list[Any], str, int]]) -> None:
        for number, (class_name, lines, postal_code, far) in enumerate(on_their_way):
            self.world.create(
                number=ORDER_NUMBERS[number],
                class_name=class_name,
                lines=lines,
                customer=CUSTOMERS[0],
                method=METHODS[0],
                postal_code=postal_code,
                charges=_pick(CHARGES, number),
            )
            self.world.go_on(self.world.runs[-1], far, outside=False)

    @precondition(lambda self: len(self.world.runs) < MAX_ORDERS)
    @rule(
        number=st.sampled_from(ORDER_NUMBERS),
        class_name=st.sampled_from(sorted(CLASSES)),
        lines=st.sampled_from(LINES),
        customer=st.sampled_from(CUSTOMERS),
        method=st.sampled_from(METHODS),
        postal_code=st.sampled_from(POSTAL_CODES),
        charges=st.sampled_from(CHARGES),
    )
    def create(self, **order: Any) -> None:
        self.world.create(**order)

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK)
    def attempt(self, pick: int) -> None:
        self.world.attempt(_pick(self.world.calls, pick))

    @precondition(lambda self: self.world.open_runs)
    @rule(pick=PICK, far=FAR, outside=st.booleans())
    def go_on(self, pick: int, far: int, outside: bool) -> None:
        self.world.go_on(_pick(self.world.open_runs, pick), far, outside=outside)

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK, boundaries=BOUNDARIES)
    def die(self, pick: int, boundaries: int) -> None:
        self.world.die(self.endangered(pick), boundaries)

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK, boundaries=BOUNDARIES)
    def lose_answer(self, pick: int, boundaries: int) -> None:
        self.world.lose_answer(self.endangered(pick), boundaries)

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK, boundaries=BOUNDARIES, lost=st.booleans())
    def stall(self, pick: int, boundaries: int, lost: bool) -> None:
        call = self.endangered(pick)
        self.world.stall(call, boundaries)
        if lost and call.in_flight:
            self.world.time_out(call)

    @precondition(lambda self: self.world.outside_calls)
    @rule(pick=PICK, boundaries=BOUNDARIES)
    def cancel_with_a_call_lost(self, pick: int, boundaries: int) -> None:
        """The hardest for the undoing: what is being undone may still happen."""
        call = _pick(self.world.outside_calls, pick)
        (run,) = [run for run in self.world.runs if call in run.calls]
        self.world.stall(call, boundaries)
        if call.in_flight:
            self.world.time_out(call)
        run.tell(CANCEL)
        self.world.go_on(run, len(run.calls), outside=True)

    @precondition(lambda self: self.world.in_flight)
    @rule(pick=PICK)
    def time_out(self, pick: int) -> None:
        self.world.time_out(_pick(self.world.in_flight, pick))

    @precondition(lambda self: self.world.late)
    @rule(pick=PICK, boundaries=st.integers(1, 8))
    def arrive_late(self, pick: int, boundaries: int) -> None:
        self.world.wake(_pick(self.world.late, pick), boundaries)

    @precondition(lambda self: any(run.made for run in self.world.runs))
    @rule(pick=PICK, boundaries=st.integers(1, 12))
    def repeat(self, pick: int, boundaries: int) -> None:
        runs = [run for run in self.world.runs if run.made]
        # Half of them for orders that are being undone, or were: there something late can do harm.
        undone = [run for run in runs if run.order.compensation is not None]
        made = [call for run in (undone if undone and pick % 2 else runs) for call in run.made]
        self.world.repeat(_pick(made, pick // 2), boundaries)

    @precondition(lambda self: self.charges())
    @rule(pick=PICK)
    def repeat_otherwise(self, pick: int) -> None:
        call = _pick(self.charges(), pick)
        self.tried.add(call.request.operation_id)
        ended = self.world.repeat_otherwise(call)
        if not isinstance(ended.error, PermanentError):
            raise Violation(f"I2: another amount under the same operation id got {ended}")

    @precondition(lambda self: self.world.open_runs)
    @rule(pick=st.integers(0, 1), decision=st.sampled_from([APPROVE, REJECT]))
    def decide(self, pick: int, decision: Message) -> None:
        _pick(self.furthest(), pick).tell(decision)

    @precondition(lambda self: self.world.open_runs and len(self.furthest()[0].made) > 3)
    @rule(pick=st.integers(0, 1), by=st.sampled_from([CANCEL, CANCEL_SIGNAL, None]))
    def cancel(self, pick: int, by: Message | None) -> None:
        run = _pick(self.furthest(), pick)
        if by is None:
            run.request_cancel()
        else:
            run.tell(by)

    @precondition(lambda self: self.world.open_runs and len(self.furthest()[0].made) > 3)
    @rule(pick=st.integers(0, 1), far=st.integers(0, 6))
    def terminate(self, pick: int, far: int) -> None:
        run = _pick(self.furthest(), pick)
        self.world.go_on(self.world.terminate(run), far, outside=True)

    @precondition(lambda self: self.in_a_task())
    @rule(
        pick=PICK,
        far=st.integers(1, 4),
        boundaries=st.integers(0, 4),
        message=st.sampled_from([None, APPROVE, CANCEL, CANCEL_SIGNAL, SUSPEND, *map(other_lines, LINES[:3])]),
        cancel=st.booleans(),
        again=st.booleans(),
    )
    def lose_task(
        self, pick: int, far: int, boundaries: int, message: Message | None, cancel: bool, again: bool
    ) -> None:
        """The ledger has what the workflow has forgotten, and a message comes first."""
        run, messages = _pick(self.in_a_task(), pick), [] if message is None else [message]
        self.world.lose_task(run, far, boundaries, messages, cancel=cancel, again=again)

    @precondition(lambda self: self.resettable())
    @rule(pick=PICK, to=PICK, reapply=st.booleans(), far=st.integers(0, 8))
    def reset(self, pick: int, to: int, reapply: bool, far: int) -> None:
        run = _pick(self.resettable(), pick)
        self.world.go_on(self.world.reset(run, to % len(run.record), reapply=reapply), far, outside=True)

    @precondition(lambda self: self.world.open_runs)
    @rule(pick=PICK, lines=st.sampled_from(LINES))
    def change_lines(self, pick: int, lines: list[Any]) -> None:
        _pick(self.world.open_runs, pick).tell(other_lines(lines))

    @precondition(lambda self: self.world.open_runs)
    @rule(pick=PICK, message=st.sampled_from([SUSPEND, RESUME]))
    def suspend_or_resume(self, pick: int, message: Message) -> None:
        _pick(self.world.open_runs, pick).tell(message)

    @precondition(lambda self: any(run.timers for run in self.world.runs))
    @rule(pick=PICK)
    def pass_time(self, pick: int) -> None:
        _pick([run for run in self.world.runs if run.timers], pick).pass_time()

    @precondition(lambda self: self.short())
    @rule(pick=PICK, count=st.integers(1, 2))
    def restock(self, pick: int, count: int) -> None:
        self.world.restock(_pick(self.short(), pick), count)

    @precondition(lambda self: self.closed())
    @rule(pick=PICK, status=st.sampled_from(["Order Received", "Order Completed", "Order Cancelled"]))
    def reopen(self, pick: int, status: str) -> None:
        """Past all code: the database itself refuses it."""
        uid = _pick(self.closed(), pick)
        self.tried.add(uid)
        change = update(tables.orders).where(tables.orders.c.uid == uid).values(status=status)
        with suppress(LedgerRefused):
            self.bench.ledger.run(lambda tx: tx.execute(change).rowcount)

    @precondition(lambda self: self.unsettled())
    @rule(pick=PICK, status=st.sampled_from(["Order Completed", "Order Cancelled", "Order Failed"]))
    def close_unsettled(self, pick: int, status: str) -> None:
        """Past all code, while pieces are held: the database itself refuses it."""
        uid = _pick(self.unsettled(), pick)
        change = update(tables.orders).where(tables.orders.c.uid == uid).values(status=status)
        try:
            result = self.bench.ledger.run(lambda tx: tx.execute(change).rowcount)
        except OrderError:
            return
        if not isinstance(result, OrderError):
            raise Violation(f"I3: the database lets order {uid} end as {status}, and it holds pieces")

    @invariant()
    def holds(self) -> None:
        self.bench.steps += self.books is not None
        books = read_books(self.bench.read, self.bench.store.read)
        check(self.world, books, self.books)
        self.books, self.world.reversed = books, taken_back(books)

    def endangered(self, pick: int) -> Call:
        """Most faults are for what goes to a provider, as far as there is any: money and parcels."""
        outside = self.world.outside_calls
        return _pick(outside if outside and pick % 4 else self.world.calls, pick // 4)

    def furthest(self) -> list[Run]:
        """Open ones; those with the most behind them first, since most is to be lost there."""
        return sorted(self.world.open_runs, key=lambda run: -len(run.made))

    def in_a_task(self) -> list[Run]:
        """Those whose worker runs local activities; those with the most behind them first."""
        return [run for run in self.furthest() if run.local_calls]

    def resettable(self) -> list[Run]:
        """Those that have come somewhere, each to be reset twice at most."""
        return [run for run in self.world.runs if len(run.record) > 1 and len(run.chain) < MAX_RUNS]

    def short(self) -> list[str]:
        """Articles that an order may wait for."""
        return [sku for sku, row in self.books.stock.items() if row[2] == 0] if self.books else []

    def closed(self) -> list[str]:
        """Orders at their end, each to be reopened once."""
        orders = self.books.orders if self.books else {}
        return [uid for uid, order in orders.items() if order[0] not in OPEN and uid not in self.tried]

    def unsettled(self) -> list[str]:
        """Orders under way that hold pieces."""
        if self.books is None:
            return []
        holding = {self.books.operations[key][0] for key, *_, state in self.books.reservations if state == "held"}
        return [uid for uid in sorted(holding) if self.books.orders[uid][0] in OPEN]

    def charges(self) -> list[Call]:
        """Those that the ledger knows of, each to be repeated otherwise once."""
        known = self.books.operations.keys() - self.tried if self.books else set()
        made = [call for run in self.world.runs for call in run.made if call.activity == "PaymentActivities.charge"]
        return [call for call in made if call.request.operation_id in known]

    def teardown(self) -> None:
        try:
            # It is called after a violation, too: that one is told, not what it leads to.
            if not isinstance(sys.exception(), Violation):
                self.comes_to_an_end()
        finally:
            self.world.close()

    def comes_to_an_end(self) -> None:
        """Without more faults, every order does, and the trail fits the books."""
        self.world.converge()
        self.holds()
        flaws = self.bench.ledger.run(lambda tx: list(Verification().flaws(tx)))
        if flaws:
            raise Violation(f"I10: {[str(flaw) for flaw in flaws]}")


def machine_on(bench: Bench) -> type[OrderMachine]:
    """The state machine, on these databases."""
    return type("OrderMachine", (OrderMachine,), {"bench": bench})
