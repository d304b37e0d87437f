"""Many random steps on each kind of database, and no invariant broken."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SETTINGS, STEPS_TAKEN, postgresql_bench, sqlite_bench
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test
from order_machine import machine_on

DATABASES = {"sqlite": sqlite_bench, "postgresql": postgresql_bench}
STEPS = 10_000
"""Of the short suite, on SQLite alone."""
LONG_STEPS = {"sqlite": 75_000, "postgresql": 25_000}
"""Of the long suite. One on PostgreSQL takes four times as long as one on SQLite. By the rule of three, no violation in
all of them bounds their rate at 3 in 100,000."""
PARTS = 4
"""Of a database's steps, with seeds of their own, which run in any process."""
SEEDS_OF_A_PART = 1_000
COURSES = [
    pytest.param("sqlite", STEPS, 0, id="sqlite"),
    *(
        pytest.param(database, steps // PARTS, part, marks=pytest.mark.long, id=f"{database}-{part}")
        for database, steps in LONG_STEPS.items()
        for part in range(1, PARTS + 1)
    ),
]


@pytest.mark.parametrize(("database", "steps", "part"), COURSES)
def test_no_course_of_events_breaks_an_invariant(
    database: str, steps: int, part: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    started = time.monotonic()
    rounds = part * SEEDS_OF_A_PART
    with DATABASES[database](tmp_path) as bench:
        while bench.steps < steps:
            rounds += 1
            run_state_machine_as_test(seed(rounds)(machine_on(bench)), settings=SETTINGS)
        seconds = time.monotonic() - started
        taken = f"{bench.name}: {bench.steps} steps in {seconds:.0f} s ({bench.steps / seconds:.0f}/s)"
    record_property(STEPS_TAKEN, taken)
