"""The page about orders without durable execution shows what its command prints."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "benchmarks/without_durable_execution.py"


def page() -> str:
    return (ROOT / "docs/contrast.md").read_text()


def printed(*arguments: str) -> list[str]:
    """Lines of the program's table."""
    command = [sys.executable, PROGRAM, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def figures(table: list[str]) -> list[list[int]]:
    """By service, in the order of the columns."""
    return [[int(figure) for figure in row.strip("| ").split(" | ")[1:]] for row in table[2:]]


@pytest.fixture(scope="module")
def documented() -> list[str]:
    """The table as the page's command prints it."""
    (arguments,) = re.findall(rf"^python {re.escape(PROGRAM)}(.*)$", page(), re.MULTILINE)
    return printed(*shlex.split(arguments))


def test_the_page_shows_what_its_command_prints(documented: list[str]) -> None:
    assert "\n".join(documented) in page()


def test_the_defaults_are_the_documented_arguments(documented: list[str]) -> None:
    assert printed() == documented


def test_every_order_is_counted_once(documented: list[str]) -> None:
    assert {sum(row) for row in figures(documented)} == {100}


def test_without_errors_and_deaths_every_service_finishes_every_order() -> None:
    assert figures(printed("--orders", "10", "--errors", "0", "--deaths", "0")) == [[10, 0, 0, 0, 0, 0]] * 5


def test_retries_in_the_process_heal_errors_but_not_deaths() -> None:
    three_attempts = 1

    by_errors = figures(printed("--orders", "20", "--errors", "3", "--deaths", "0"))[three_attempts]
    by_deaths = figures(printed("--orders", "20", "--errors", "0", "--deaths", "100"))[three_attempts]

    assert by_errors[0] == 20
    assert by_deaths[0] < 5
