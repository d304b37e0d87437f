"""Databases that many examples share, one after the other."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from boundaries import SteppedLedger, SteppedStore
from hypothesis import HealthCheck, Phase, settings
from order_invariants import Read
from order_machine import Bench
from sqlalchemy import Engine
from workflow_loop import standing_in

from order_devstack.postgresql import running
from order_worker.ledger import schema, tables
from order_worker.ledger.connections import connect

SETTINGS = settings(
    max_examples=50,
    stateful_step_count=50,
    deadline=None,
    database=None,
    # Explaining a failure takes minutes; the shortest course of events says enough.
    phases=(Phase.generate, Phase.shrink),
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
"""Of one round, of some 1,700 steps. Its seed is fixed, so that CI sees the same rounds every time."""

STEPS_TAKEN = "steps taken"
"""Property of a test: a line for the end of pytest's output."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many steps were taken, also by tests that ran in another process."""
    passed = terminalreporter.stats.get("passed", [])
    lines = [line for report in passed for name, line in report.user_properties if name == STEPS_TAKEN]
    if lines:
        terminalreporter.section("steps of the state machine")
        for line in lines:
            terminalreporter.line(line)


@contextmanager
def sqlite_bench(folder: Path, *, change: str = "") -> Iterator[Bench]:
    """A ledger in a file of `folder`; `change` is SQL that breaks its schema."""
    file = folder / "ledger.db"
    with ExitStack() as stack:
        engine = stack.enter_context(_migrated(f"sqlite:///{file}"))
        outside = sqlite3.connect(file, isolation_level=None)
        stack.callback(outside.close)
        outside.executescript(change)
        engine.dispose()  # it has read the schema
        template = sqlite3.connect(":memory:")
        stack.callback(template.close)
        outside.backup(template)
        yield stack.enter_context(
            _bench(
                engine,
                folder,
                read=lambda queries: [outside.execute(query).fetchall() for query in queries],
                empty=lambda: template.backup(outside),
            )
        )


@contextmanager
def postgresql_bench(folder: Path) -> Iterator[Bench]:
    """A ledger on a PostgreSQL server of its own."""
    with ExitStack() as stack:
        server = stack.enter_context(running(durable=False))
        server.create("ledger")
        engine = stack.enter_context(_migrated(server.url("ledger")))
        outside = stack.enter_context(psycopg.connect(server.url("ledger"), autocommit=True))
        # Neither triggers nor foreign keys hinder this connection: it has to take away what nobody else may.
        outside.execute("SET session_replication_role = replica")
        deletes = ";".join(f"DELETE FROM {table}" for table in tables.metadata.tables)  # noqa: S608
        yield stack.enter_context(
            _bench(
                engine,
                folder,
                read=lambda queries: _in_one_go(outside, queries),
                empty=lambda: outside.execute(deletes.encode()),
            )
        )


def _in_one_go(connection: psycopg.Connection[Any], queries: Sequence[str]) -> list[list[Any]]:
    cursor = connection.execute(";".join(queries).encode())
    answers = [cursor.fetchall()]
    while cursor.nextset():
        answers.append(cursor.fetchall())
    return answers


@contextmanager
def _migrated(url: str) -> Iterator[Engine]:
    engine = connect(url)
    schema.migrate(engine)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _bench(engine: Engine, folder: Path, *, read: Read, empty: Callable[[], object]) -> Iterator[Bench]:
    store = SteppedStore(folder / "providers.db")
    try:
        with standing_in():
            yield Bench(ledger=SteppedLedger(engine), store=store, read=read, empty=empty)
    finally:
        store.disconnect()
