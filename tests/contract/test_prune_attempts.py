"""The log of attempts is pruned by order, in batches, by a command."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from shop import Shop

from order_worker.__main__ import main
from order_worker.ledger import attempts, tables
from order_worker.ledger.attempts import prune

LIMIT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


async def attempt(
    shop: Shop, order: str | None, *, age: int, limit: datetime = LIMIT, number: int = 1, status: str = "completed"
) -> None:
    """One attempt at charging, so many seconds before the limit."""
    await shop.insert(
        tables.activity_attempts,
        order_uid=order,
        workflow_id=f"order/shop/{order}/{order}",
        run_id=f"run-{order}",
        activity="charge_payment",
        activity_id="1",
        attempt=number,
        status=status,
        started_at=limit - timedelta(seconds=age),
        duration_ms=1.0,
        worker="worker-1",
    )


async def pruned(shop: Shop) -> list[int]:
    """Batch by batch."""
    return [deleted async for deleted in prune(shop.ledger, LIMIT)]


async def left(shop: Shop) -> list[str | None]:
    return sorted((row["order_uid"] for row in await shop.rows(tables.activity_attempts)), key=str)


async def test_the_attempts_from_before_the_limit_go(shop: Shop) -> None:
    await attempt(shop, "old", age=1)
    await attempt(shop, "new", age=0)
    assert sum(await pruned(shop)) == 1
    assert await left(shop) == ["new"]


async def test_an_order_that_goes_on_keeps_all_its_attempts(shop: Shop) -> None:
    await attempt(shop, "waits", age=100, status="failed")
    await attempt(shop, "waits", age=-100, number=2)
    assert sum(await pruned(shop)) == 0


async def test_attempts_outside_of_any_order_go_one_by_one(shop: Shop) -> None:
    await attempt(shop, None, age=1)
    await attempt(shop, None, age=0)
    assert sum(await pruned(shop)) == 1
    assert len(await left(shop)) == 1


async def test_no_transaction_deletes_more_than_a_batch(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BATCH", 2)
    for number in range(5):
        await attempt(shop, f"old-{number}", age=1)
    assert await pruned(shop) == [2, 2, 1, 0]
    assert await left(shop) == []


async def test_an_attempt_that_was_logged_late_goes_as_well(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BATCH", 1)
    await attempt(shop, "new", age=0)
    await attempt(shop, "late", age=1)
    await pruned(shop)
    assert await left(shop) == ["new"]


@pytest.fixture
def _this_ledger(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_LEDGER_URL", ledger_url)


@pytest.mark.usefixtures("_this_ledger")
async def test_the_command_says_how_many_it_deleted(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await attempt(shop, "old", age=60, limit=yesterday)
    await attempt(shop, "new", age=-60, limit=yesterday)
    assert await asyncio.to_thread(main, ["prune-attempts", "--older-than-days", "1"]) == 0
    progress, result = capsys.readouterr().out.splitlines()
    assert progress == "1 deleted so far"
    assert result.startswith("1 attempts deleted, of orders that made none since 20")
    assert await left(shop) == ["new"]


@pytest.mark.parametrize("days", ["0", "-1", "36501", "1.5", "all"])
def test_an_age_that_is_no_number_of_days_is_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prune-attempts", f"--older-than-days={days}"])
    assert "from 1 to 36500" in capsys.readouterr().err
