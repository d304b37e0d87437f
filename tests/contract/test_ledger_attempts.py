"""Every attempt of an activity is logged, and the views sum them up."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shop import Buyer, Shop, a_line
from sqlalchemy import Connection, insert, text
from temporalio import activity
from temporalio.activity import ActivityCancellationDetails
from temporalio.common import MetricMeter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from order_domain.errors import LedgerUnavailable, PaymentDeclined
from order_worker.interceptors import attempt_log
from order_worker.interceptors.attempt_log import AttemptLog
from order_worker.ledger import tables
from order_worker.ledger.database import Ledger
from order_worker.metrics import Metrics
from order_workflows.activities.effect import Outcome
from order_workflows.activities.stock import ValidateLines
from order_workflows.contract import workflow_id

STARTED = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
BUYER = Buyer()


class CountingMetrics(Metrics):
    """Keeps why attempts were not logged."""

    def __init__(self) -> None:
        super().__init__(MetricMeter.noop)
        self.unlogged: list[str] = []

    def attempt_not_logged(self, reason: str) -> None:
        self.unlogged.append(reason)


class Ends(ActivityInboundInterceptor):
    """An activity that returns, raises or hangs."""

    def __init__(self, end: Outcome | Exception | None) -> None:
        self._end = end

    def init(self, outbound: object) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ARG002
        if self._end is None:
            await asyncio.Event().wait()
        if isinstance(self._end, Exception):
            raise self._end
        return self._end


@pytest.fixture
def metrics() -> CountingMetrics:
    return CountingMetrics()


@pytest.fixture
def log(ledger: Ledger, metrics: CountingMetrics) -> AttemptLog:
    return AttemptLog(ledger, metrics, "worker-1")


async def attempt(
    log: AttemptLog,
    end: Outcome | Exception | None,
    *,
    argument: object = BUYER.charge(),
    environment: ActivityEnvironment | None = None,
    **info: Any,
) -> None:
    """One attempt of an activity that ends so."""
    environment = environment or ActivityEnvironment()
    known = {"workflow_id": "order/shop/order-1/uid-1", "workflow_run_id": "run-1", "activity_type": "charge_payment"}
    environment.info = replace(environment.info, **(known | info))
    interceptor = log.intercept_activity(Ends(end))

    async def execute() -> None:
        assert activity.in_activity()
        await interceptor.execute_activity(
            ExecuteActivityInput(fn=lambda: None, args=[argument], executor=None, headers={})
        )

    with suppress(Exception, asyncio.CancelledError):
        await environment.run(execute)


async def logged(shop: Shop, log: AttemptLog, end: Outcome | Exception | None, **attempt_of: Any) -> dict[str, Any]:
    """The row of one attempt."""
    async with log.writing():
        await attempt(log, end, **attempt_of)
    [row] = await shop.rows(tables.activity_attempts)
    return row


async def test_an_attempt_is_logged_with_order_operation_run_and_worker(shop: Shop, log: AttemptLog) -> None:
    row = await logged(shop, log, Outcome(), attempt=3, activity_id="7")
    assert {name: row[name] for name in row if name not in ("id", "started_at", "duration_ms")} == {
        "order_uid": "uid-1",
        "workflow_id": "order/shop/order-1/uid-1",
        "run_id": "run-1",
        "activity": "charge_payment",
        "activity_id": "7",
        "operation_id": "uid-1/charge",
        "attempt": 3,
        "status": "completed",
        "error_type": None,
        "worker": "worker-1",
    }


async def test_an_attempt_is_logged_with_its_duration(shop: Shop, log: AttemptLog) -> None:
    row = await logged(shop, log, Outcome())
    assert 0 <= row["duration_ms"] < 10_000


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (PaymentDeclined("card_declined"), "PaymentDeclined"),
        (ApplicationError("no", type="OutOfStock"), "OutOfStock"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
async def test_a_failure_is_logged_by_the_name_of_its_error(
    shop: Shop, log: AttemptLog, error: Exception, name: str
) -> None:
    row = await logged(shop, log, error)
    assert (row["status"], row["error_type"]) == ("failed", name)


@pytest.mark.parametrize(
    ("details", "status", "error"),
    [
        (ActivityCancellationDetails(timed_out=True), "timed_out", "Timeout"),
        (ActivityCancellationDetails(cancel_requested=True), "cancelled", None),
        (ActivityCancellationDetails(worker_shutdown=True), "cancelled", None),
    ],
)
async def test_a_timeout_is_told_from_a_cancellation(
    shop: Shop, log: AttemptLog, details: ActivityCancellationDetails, status: str, error: str | None
) -> None:
    environment = ActivityEnvironment()
    asyncio.get_running_loop().call_later(0.01, environment.cancel, details)
    row = await logged(shop, log, None, environment=environment)
    assert (row["status"], row["error_type"]) == (status, error)


async def test_a_timeout_is_an_orders_last_error(shop: Shop, log: AttemptLog) -> None:
    environment = ActivityEnvironment()
    asyncio.get_running_loop().call_later(0.01, environment.cancel, ActivityCancellationDetails(timed_out=True))
    await logged(shop, log, None, environment=environment)
    assert await summary(shop) == [("uid-1", 1, 1, 0, "Timeout")]


async def test_a_question_belongs_to_the_order_of_its_workflow(shop: Shop, log: AttemptLog) -> None:
    run = workflow_id("shop", "order-9", "uid-9")
    row = await logged(shop, log, Outcome(), argument=ValidateLines(lines=[a_line("1", 1)]), workflow_id=run)
    assert (row["order_uid"], row["operation_id"]) == ("uid-9", None)


async def test_an_attempt_outside_of_any_order_is_logged_without_one(shop: Shop, log: AttemptLog) -> None:
    row = await logged(shop, log, Outcome(), argument=None, workflow_id="something-else")
    assert row["order_uid"] is None


async def test_neither_arguments_nor_messages_are_logged(shop: Shop, log: AttemptLog) -> None:
    row = await logged(shop, log, PaymentDeclined("for ana@example.com"), argument=BUYER.notice())
    assert "ana" not in str(row)


async def written(shop: Shop, count: int) -> None:
    """Returns once the log has so many rows."""
    deadline = time.monotonic() + 10
    while len(await shop.rows(tables.activity_attempts)) < count:
        assert time.monotonic() < deadline, "the attempts were not written"
        await asyncio.sleep(0.02)


async def test_attempts_are_written_while_the_worker_runs(shop: Shop, log: AttemptLog) -> None:
    async with log.writing():
        await attempt(log, Outcome())
        await written(shop, 1)


async def test_a_full_batch_does_not_wait(shop: Shop, log: AttemptLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_log, "FLUSH_SECONDS", 600.0)
    async with log.writing():
        for _ in range(attempt_log.BATCH):
            await attempt(log, Outcome())
        await written(shop, attempt_log.BATCH)


async def test_attempts_wait_for_a_ledger_that_is_away(shop: Shop, log: AttemptLog) -> None:
    async def rename(old: str, new: str) -> None:
        await shop.ledger.transaction(lambda tx: tx.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}").rowcount)

    await rename("activity_attempts", "elsewhere")
    await attempt(log, Outcome())
    await log._flush()
    await rename("elsewhere", "activity_attempts")
    async with log.writing():
        pass
    assert len(await shop.rows(tables.activity_attempts)) == 1


async def test_the_oldest_attempts_go_when_too_many_wait(
    shop: Shop, log: AttemptLog, metrics: CountingMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_log, "KEPT", 2)
    for number in (1, 2, 3):
        await attempt(log, Outcome(), attempt=number)
    async with log.writing():
        pass
    assert [row["attempt"] for row in await shop.rows(tables.activity_attempts)] == [2, 3]
    assert metrics.unlogged == ["overflow"]


async def test_what_cannot_be_written_at_the_end_is_counted(
    ledger: Ledger, log: AttemptLog, metrics: CountingMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(ledger, "transaction", unavailable)
    async with log.writing():
        await attempt(log, Outcome())
    assert metrics.unlogged == ["shutdown"]


async def test_attempts_that_the_database_refuses_do_not_hold_up_the_rest(
    shop: Shop, log: AttemptLog, metrics: CountingMetrics
) -> None:
    async with log.writing():
        await attempt(log, Outcome(), activity_type=None)
        await log._flush()
        await attempt(log, Outcome())
    assert len(await shop.rows(tables.activity_attempts)) == 1
    assert metrics.unlogged == ["refused"]


async def recorded(shop: Shop, *rows: dict[str, Any]) -> None:
    """Rows in the order of time, one second apart."""

    def write(tx: Connection) -> None:
        for number, row in enumerate(rows):
            defaults = {
                "order_uid": "uid-1",
                "workflow_id": "order/shop/order-1/uid-1",
                "run_id": "run-1",
                "activity": "charge_payment",
                "activity_id": "1",
                "attempt": 1,
                "status": "completed",
                "started_at": STARTED + timedelta(seconds=number),
                "duration_ms": 10.0,
                "worker": "worker-1",
            }
            tx.execute(insert(tables.activity_attempts).values(**(defaults | row)))

    await shop.ledger.transaction(write)


async def view(shop: Shop, columns: str, name: str) -> list[tuple[Any, ...]]:
    def read(tx: Connection) -> Iterable[Any]:
        return tx.execute(text(f"SELECT {columns} FROM {name} ORDER BY 1")).all()  # noqa: S608

    return [tuple(row) for row in await shop.ledger.transaction(read)]


async def summary(shop: Shop) -> list[tuple[Any, ...]]:
    return await view(shop, "order_uid, attempts, failures, lost, last_error", "order_retry_summary")


async def test_the_summary_counts_attempts_and_failures_per_order(shop: Shop) -> None:
    await recorded(
        shop,
        {"status": "failed", "error_type": "ProviderUnavailable"},
        {"attempt": 2, "status": "timed_out"},
        {"attempt": 3},
        {"activity": "ship_line", "activity_id": "2"},
        {"order_uid": "uid-2"},
        {"order_uid": None},
    )
    assert await summary(shop) == [("uid-1", 4, 2, 0, "ProviderUnavailable"), ("uid-2", 1, 0, 0, None)]


async def test_an_attempt_whose_worker_died_is_lost(shop: Shop) -> None:
    await recorded(shop, {"attempt": 3}, {"activity_id": "2"})
    assert await summary(shop) == [("uid-1", 4, 0, 2, None)]


async def test_a_local_activity_that_went_on_under_another_id_has_lost_nothing(shop: Shop) -> None:
    failed = {"operation_id": "uid-1/charge", "status": "failed", "error_type": "LedgerUnavailable"}
    await recorded(shop, failed, failed | {"activity_id": "9", "attempt": 2})
    assert await summary(shop) == [("uid-1", 2, 2, 0, "LedgerUnavailable")]


async def test_a_local_activity_that_ran_again_with_its_workflow_task_has_lost_nothing(shop: Shop) -> None:
    await recorded(shop, {}, {})
    assert await summary(shop) == [("uid-1", 2, 0, 0, None)]


async def test_the_last_error_is_the_latest(shop: Shop) -> None:
    await recorded(
        shop,
        {"status": "failed", "error_type": "ProviderUnavailable"},
        {"attempt": 2, "status": "failed", "error_type": "PaymentDeclined"},
        {"activity": "refund_payment", "activity_id": "2"},
    )
    assert [row[-1] for row in await summary(shop)] == ["PaymentDeclined"]


async def test_the_performance_of_each_activity_is_summed_up(shop: Shop) -> None:
    await recorded(
        shop,
        {"duration_ms": 10.0},
        {"duration_ms": 20.0, "status": "failed", "error_type": "ProviderUnavailable"},
        {"duration_ms": 60.0, "status": "timed_out"},
        {"duration_ms": 30.0, "status": "cancelled"},
        {"activity": "ship_line", "duration_ms": 5.0},
    )
    columns = "activity, attempts, failures, timeouts, average_ms, max_ms, success_percent"
    assert await view(shop, columns, "activity_performance") == [
        ("charge_payment", 4, 1, 1, 30.0, 60.0, 25.0),
        ("ship_line", 1, 0, 0, 5.0, 5.0, 100.0),
    ]
