"""A ledger on SQLite whose disk is full."""

import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from shop import Shop

from order_domain.errors import LedgerUnavailable
from order_worker.bootstrap import Providers
from order_worker.ledger.database import Ledger


@pytest.fixture
async def ledger(migrated_file: Path, tmp_path: Path) -> AsyncIterator[Ledger]:
    shutil.copy(migrated_file, tmp_path / "ledger.db")
    opened = await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    await opened.close()


@contextmanager
def full(log: Path) -> Iterator[None]:
    """No file of this process grows beyond the size of this one: to SQLite, a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_nothing_is_charged_while_the_disk_is_full_and_once_there_is_room_again_it_is_charged_once(
    ledger: Ledger, providers: Providers, tmp_path: Path
) -> None:
    shop = Shop(ledger, providers)
    buyer = await shop.buyer()

    with full(tmp_path / "ledger.db-wal"), pytest.raises(LedgerUnavailable):
        await shop.payments.charge(buyer.charge())

    assert await shop.provider_log("charges") == []
    await shop.payments.charge(buyer.charge())
    assert [row["amount_minor"] for row in await shop.provider_log("charges")] == [750]
