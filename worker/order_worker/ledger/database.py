"""The ledger's transactions."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

from sqlalchemy import Column, Connection, Engine, Table, text
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.dml import ReturningInsert

from order_domain.errors import LedgerUnavailable, OrderError
from order_worker.ledger import refusals, schema
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.audit_writes import AuditWrites
from order_worker.ledger.circuit_breaker import Attempt, CircuitBreaker
from order_worker.ledger.connections import BEGINS_NOTHING, PATIENT, POSTGRESQL_THREADS, connect

T = TypeVar("T")

MAY_WAIT = 2
"""Transactions that may wait for a thread while the ledger still keeps up."""

PAUSES = (0.01, 0.05, 0.2, 0.5)
"""Seconds, up to half more, before a transaction that the database gave up for others is tried again."""

_ALIVE = {
    "sqlite": text("SELECT 'off' FROM sqlite_schema LIMIT 1"),
    "postgresql": text("SELECT current_setting('transaction_read_only')"),
}


def insert_unless_present(table: Table, key: Column[str]) -> Mapping[str, ReturningInsert[tuple[str]]]:
    """By dialect, an insert that gives the row's `key`, or no row where a unique key is there already. It waits for a
    transaction that is about to insert the same."""
    return {
        "sqlite": sqlite_dialect.insert(table).on_conflict_do_nothing().returning(key),
        "postgresql": postgresql_dialect.insert(table).on_conflict_do_nothing().returning(key),
    }


class Ledger:
    """The books of the shop. Every change is one function of a connection, run as one transaction.

    Transactions run on threads with SQLAlchemy's synchronous engine: the asynchronous one hops between threads at
    every statement and costs three times the CPU (3.0 against 1.0 ms for six statements on SQLite). SQLite gets one
    thread, since it has one writer anyway and our own queue is fair where its busy-waiting is not.
    """

    def __init__(self, engine: Engine, audit_keys: KeyRing | None = None) -> None:
        engine.update_execution_options(audit_keys=audit_keys)
        self._engine = engine
        self.audit_keyed = audit_keys is not None
        """Whether new events of the audit trail are sealed with a key."""
        self.audit_writes = AuditWrites()
        size = 1 if engine.dialect.name == "sqlite" else POSTGRESQL_THREADS
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="ledger")
        self._at_once = size
        self._asked = 0
        """Transactions that are carried out or wait for a thread."""
        self._breaker = CircuitBreaker()
        self._ping_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-ping")

    @classmethod
    async def open(
        cls,
        url: str,
        audit_keys: KeyRing | None = None,
        *,
        patient: bool = False,
        url_now: Callable[[], str] | None = None,
    ) -> Self:
        """Without `audit_keys` the audit chain goes on without a key. Raises SchemaMismatch when the database's schema
        does not suit this code, LedgerUnavailable when it does not answer. `patient`: for commands that read the whole
        of the books; no statement takes too long then. `url_now`: see `connect`."""
        engine = connect(url, url_now)
        ledger = cls(engine.execution_options(**PATIENT) if patient else engine, audit_keys)
        try:
            await ledger.transaction(schema.check)
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def transaction(self, work: Callable[[Connection], T | OrderError]) -> T:
        """Run `work` and commit, even if it returns an OrderError, which is raised afterwards: a refusal is worth
        recording. What it raises rolls back. `work` runs again, in a new transaction, after a deadlock.

        Raises LedgerRefused for content that the database does not take; LedgerUnavailable when it does not answer:
        whether it committed is unknown then, so `work` must be safe to repeat.
        """
        loop = asyncio.get_running_loop()
        self._asked += 1
        try:
            result = await loop.run_in_executor(self._threads, partial(self._run, work))
        finally:
            self._asked -= 1
        if isinstance(result, OrderError):
            raise result
        return result

    def _run(self, work: Callable[[Connection], T | OrderError]) -> T | OrderError:
        try:
            with self._breaker.attempt() as attempt:
                return self._repeat(work, attempt)
        except StatementError as error:
            meaning = refusals.meaning(error)
            if meaning is None:
                raise
            raise meaning from error
        except PoolTimeout as error:
            raise LedgerUnavailable("the ledger does not answer: no connection is free") from error

    def _repeat(self, work: Callable[[Connection], T | OrderError], attempt: Attempt) -> T | OrderError:
        if self._engine.dialect.name == "sqlite":
            attempt.connected()  # a file is there, at worst it is busy
        for pause in PAUSES:
            begun = False
            try:
                with self.audit_writes.transaction(self._engine) as connection:
                    begun = True
                    attempt.connected()
                    return work(connection)
            except DBAPIError as error:
                if begun and refusals.sqlstate(error.orig) in refusals.GIVEN_UP_FOR_OTHERS:
                    time.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311 - spreads retries, guards nothing
                elif begun or not error.connection_invalidated:
                    raise
                # else: the pool's connection was dead before anything began. It has none of them any more.
        with self.audit_writes.transaction(self._engine) as connection:
            attempt.connected()
            return work(connection)

    def keeps_up(self) -> bool:
        """Whether at most MAY_WAIT transactions wait for a thread."""
        return self._asked - self._at_once <= MAY_WAIT

    def is_free(self) -> bool:
        """Whether a transaction would be carried out at once."""
        return self._asked < self._at_once

    async def ping(self) -> None:
        """Raises LedgerUnavailable unless the database answers and can be written to. It waits for no transaction, so
        that a busy ledger is not taken for a dead one."""
        await asyncio.get_running_loop().run_in_executor(self._ping_thread, self._ping)

    def _ping(self) -> None:
        try:
            try:
                answer = self._ask_alive()
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                answer = self._ask_alive()  # the server of before is gone; is there another?
        except (DBAPIError, PoolTimeout) as error:
            raise LedgerUnavailable(f"the ledger does not answer: {type(error).__name__}") from error
        if answer == "on":
            raise LedgerUnavailable("the ledger's database is read-only")

    def _ask_alive(self) -> str:
        with self._engine.connect().execution_options(**BEGINS_NOTHING) as connection:
            answer = str(connection.execute(_ALIVE[self._engine.dialect.name]).scalar())
            if answer == "on":
                connection.invalidate()
            return answer

    def connections(self) -> dict[str, int]:
        """Connections of the pool, by state: in use, idle, or not opened so far."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        used, idle = pool.checkedout(), pool.checkedin()
        return {"used": used, "idle": idle, "unopened": max(0, pool.size() - used - idle)}

    async def close(self) -> None:
        """Wait for running transactions, then disconnect."""
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._ping_thread.shutdown)
        self._engine.dispose()
