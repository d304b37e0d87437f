"""When a worker asks for another workflow task: not beyond what its ledger carries out, and orders do not begin all at
once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.worker import SlotPermit

from order_worker.workflow_slots import BEGINNING, WorkflowSlots

UNDER_WAY: Any = SimpleNamespace(is_sticky=True)
"""What the SDK says of a request for the next task of an order that this worker carries."""
BEGINS: Any = SimpleNamespace(is_sticky=False)
NEVER = 3_600.0


class Ledger:
    """As much of one as the slots see."""

    def __init__(self) -> None:
        self.waiting = 0
        """Transactions."""

    def keeps_up(self) -> bool:
        return self.waiting <= 2

    def is_free(self) -> bool:
        return self.waiting == 0


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def slots(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> WorkflowSlots:
    """Five, that wait as long as they have to."""
    monkeypatch.setattr("order_worker.workflow_slots.BEGINNING_SECONDS", NEVER)
    monkeypatch.setattr("order_worker.workflow_slots.LONGEST_WAIT_SECONDS", NEVER)
    return WorkflowSlots(5, ledger)


async def task(slots: WorkflowSlots, kind: Any) -> SlotPermit:
    """A request that has brought one."""
    permit = await slots.reserve_slot(kind)
    slots.mark_slot_used(SimpleNamespace(permit=permit))  # type: ignore[arg-type]
    return permit


def done(slots: WorkflowSlots, permit: SlotPermit) -> None:
    slots.release_slot(SimpleNamespace(permit=permit, slot_info=None))  # type: ignore[arg-type]


@asynccontextmanager
async def kept_waiting(slots: WorkflowSlots, kind: Any) -> AsyncIterator[None]:
    """A request that waits until the block has ended, and no longer."""
    asking = asyncio.create_task(slots.reserve_slot(kind))
    await looked_at_twice(slots)
    assert not asking.done()
    yield
    async with asyncio.timeout(5):
        await asking


async def looked_at_twice(slots: WorkflowSlots) -> None:
    """Return once a request that waits has asked again."""
    may_ask: Callable[..., bool] = slots._may_ask
    looks, twice = 0, asyncio.Event()

    def counted(*asked: Any) -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            twice.set()
        return may_ask(*asked)

    slots._may_ask = counted  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await twice.wait()
    slots._may_ask = may_ask  # type: ignore[method-assign]


@pytest.mark.parametrize(("kind", "too_many", "few"), [(UNDER_WAY, 3, 2), (BEGINS, 1, 0)])
async def test_no_task_is_asked_for_while_transactions_wait_and_the_first_of_an_order_while_any_does(
    slots: WorkflowSlots, ledger: Ledger, kind: Any, too_many: int, few: int
) -> None:
    done(slots, await task(slots, BEGINS))
    ledger.waiting = too_many

    async with kept_waiting(slots, kind):
        ledger.waiting = few


async def test_a_stuck_ledger_holds_up_only_for_a_while(
    slots: WorkflowSlots, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.waiting = 3

    async with kept_waiting(slots, UNDER_WAY):
        monkeypatch.setattr("order_worker.workflow_slots.LONGEST_WAIT_SECONDS", 0.0)


async def test_few_orders_begin_at_a_time(slots: WorkflowSlots) -> None:
    beginning = [await task(slots, BEGINS) for _ in range(BEGINNING)]

    async with kept_waiting(slots, BEGINS):
        done(slots, beginning[0])


async def test_orders_under_way_do_not_wait_for_those_that_begin(slots: WorkflowSlots) -> None:
    for _ in range(BEGINNING):
        await task(slots, BEGINS)

    await task(slots, UNDER_WAY)


async def test_after_a_while_the_next_order_begins_however_long_others_take(
    slots: WorkflowSlots, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(BEGINNING):
        await task(slots, BEGINS)
    ledger.waiting = 3

    async with kept_waiting(slots, BEGINS):
        monkeypatch.setattr("order_worker.workflow_slots.BEGINNING_SECONDS", 0.0)


async def test_a_request_that_brought_nothing_gives_its_slot_back(slots: WorkflowSlots) -> None:
    done(slots, await slots.reserve_slot(UNDER_WAY))

    assert slots.free == 5


async def test_there_are_no_more_than_the_slots(slots: WorkflowSlots) -> None:
    carried = [await task(slots, UNDER_WAY) for _ in range(5)]

    async with kept_waiting(slots, UNDER_WAY):
        done(slots, carried[0])
