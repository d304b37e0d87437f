"""A busy ledger is not taken for a dead one."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection

from order_domain.errors import LedgerUnavailable
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger

BUSY = 12


async def test_a_ledger_whose_threads_are_all_busy_answers_the_ping(ledger: Ledger) -> None:
    begun, free = threading.Event(), threading.Event()

    def be_busy(_: Connection) -> bool:
        begun.set()
        return free.wait(30)

    busy = [asyncio.ensure_future(ledger.transaction(be_busy)) for _ in range(BUSY)]
    try:
        await asyncio.to_thread(begun.wait, 5)
        async with asyncio.timeout(5):
            await ledger.ping()
        assert not any(task.done() for task in busy)
    finally:
        free.set()
        await asyncio.gather(*busy)


async def test_a_transaction_of_another_process_does_not_hold_up_the_ping(ledger: Ledger, ledger_url: str) -> None:
    engine = connect(ledger_url)
    with engine.begin():
        async with asyncio.timeout(3):
            await ledger.ping()
    engine.dispose()


async def test_a_ledger_without_its_file_does_not_answer_the_ping(tmp_path: Path) -> None:
    ledger = Ledger(connect(f"sqlite:///{tmp_path / 'gone' / 'ledger.db'}"))
    with pytest.raises(LedgerUnavailable):
        await ledger.ping()
    await ledger.close()
