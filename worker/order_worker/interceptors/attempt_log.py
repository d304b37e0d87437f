"""The log of attempts: one row for each attempt of an activity that ended on this worker, remote or local.

The rows are gathered and written in batches by one task. An order makes about a dozen attempts; a transaction of its
own for each would add more than half to what the ledger costs per order (0.28 ms of CPU per attempt on SQLite, against
0.02 ms in a batch). The price is that the log may miss attempts: those of the last half second before the worker was
killed, and the oldest while the ledger is away for long. A batch whose commit got no answer is written again, so that a
row may be there twice. Nothing but the views of the log reads it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from order_domain.errors import LedgerRefused, LedgerUnavailable
from order_worker.ledger.database import Ledger
from order_worker.ledger.tables import activity_attempts
from order_worker.metrics import Metrics
from order_workflows.activities.effect import Effect
from order_workflows.contract import parse_workflow_id

LOG = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
BATCH = 200
"""Rows of one transaction; so many are written at once, without waiting."""
KEPT = 10_000
"""Rows that wait for a ledger that is away: some megabytes."""

TIMEOUT = "Timeout"
"""The error of an attempt that took too long, or whose heartbeat did: the worker is not told which."""

_ADD = insert(activity_attempts)


class AttemptLog(Interceptor):
    """Sees every attempt end. Rows are written only inside of `writing`."""

    def __init__(self, ledger: Ledger, metrics: Metrics, worker: str) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._worker = worker
        self._rows: deque[dict[str, Any]] = deque()
        self._wake = asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Logging(next, self)

    def plugin(self) -> SimplePlugin:
        """What a worker needs: the interceptor, inside of all others, and the writing while the worker runs."""
        return SimplePlugin("attempt-log", interceptors=[self], run_context=self.writing)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write until the block ends, and then what is left."""
        stop = asyncio.Event()
        writer = asyncio.create_task(self._write_until(stop))
        try:
            yield
        finally:
            stop.set()
            self._wake.set()
            await writer
            self._drop(len(self._rows), "shutdown")

    def add(
        self,
        info: activity.Info,
        arguments: Sequence[Any],
        *,
        status: str,
        error_type: str | None,
        started_at: datetime,
        seconds: float,
    ) -> None:
        """Note one attempt; never waits. Of `arguments` only the names of order and operation are kept."""
        effect = Effect.among(*arguments)
        run = parse_workflow_id(info.workflow_id or "")
        self._rows.append(
            {
                "order_uid": effect.order.uid if effect else run and run.uid,
                "workflow_id": info.workflow_id or "",
                "run_id": info.workflow_run_id or "",
                "activity": info.activity_type,
                "activity_id": info.activity_id,
                "operation_id": effect and effect.operation_id,
                "attempt": info.attempt,
                "status": status,
                "error_type": error_type and error_type[:64],
                "started_at": started_at,
                "duration_ms": round(seconds * 1000, 3),
                "worker": self._worker[:255],
            }
        )
        self._drop(len(self._rows) - KEPT, "overflow")
        if len(self._rows) >= BATCH:
            self._wake.set()

    def _drop(self, count: int, reason: str) -> None:
        for _ in range(count):
            self._rows.popleft()
            self._metrics.attempt_not_logged(reason)

    async def _write_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), FLUSH_SECONDS)
            self._wake.clear()
            await self._flush()
        await self._flush()

    async def _flush(self) -> None:
        while self._rows:
            batch = [self._rows.popleft() for _ in range(min(BATCH, len(self._rows)))]

            def write(tx: Connection, rows: list[dict[str, Any]] = batch) -> None:
                tx.execute(_ADD, rows)

            try:
                await self._ledger.transaction(write)
            except LedgerUnavailable:
                self._rows.extendleft(reversed(batch))
                self._drop(len(self._rows) - KEPT, "overflow")
                return
            except LedgerRefused:
                LOG.exception("the ledger refuses %s attempts for its log", len(batch))
                for _ in batch:
                    self._metrics.attempt_not_logged("refused")


class _Logging(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, log: AttemptLog) -> None:
        super().__init__(inner)
        self._log = log

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        started_at, clock = datetime.now(UTC), time.perf_counter()
        status, error_type = "completed", None
        try:
            return await super().execute_activity(input)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is not None and details.timed_out:
                status, error_type = "timed_out", TIMEOUT
            else:
                status = "cancelled"
            raise
        except Exception as error:
            status, error_type = "failed", type(error).__name__
            if isinstance(error, ApplicationError) and error.type:
                error_type = error.type
            raise
        finally:
            self._log.add(
                activity.info(),
                input.args,
                status=status,
                error_type=error_type,
                started_at=started_at,
                seconds=time.perf_counter() - clock,
            )
