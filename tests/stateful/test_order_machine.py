"""A hundred thousand random steps, half of them on each kind of database, and no invariant broken."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import SETTINGS, STEPS_TAKEN, postgresql_bench, sqlite_bench
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test
from order_machine import Bench, machine_on

STEPS = 50_000
"""On each database. By the rule of three, no violation in 100,000 steps bounds their rate at 3 in 100,000."""


@pytest.fixture(params=["sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with {"sqlite": sqlite_bench, "postgresql": postgresql_bench}[request.param](tmp_path) as opened:
        yield opened


def test_no_course_of_events_breaks_an_invariant(bench: Bench, record_property: Callable[[str, object], None]) -> None:
    started = time.monotonic()
    rounds = 0
    while bench.steps < STEPS:
        rounds += 1
        run_state_machine_as_test(seed(rounds)(machine_on(bench)), settings=SETTINGS)
    seconds = time.monotonic() - started
    taken = f"{bench.name}: {bench.steps} steps in {seconds:.0f} s ({bench.steps / seconds:.0f}/s)"
    record_property(STEPS_TAKEN, taken)
