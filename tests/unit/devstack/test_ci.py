"""The steps of CI that run tests: what fails by chance runs once more, and a node is needed only where one can run."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which nothing is done, only written down."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$CAN_RUN" = yes ] || { echo "a node needs root" >&2; exit 1; }\n')
    pytest = python.with_name("pytest")
    pytest.write_text('#!/bin/sh\necho "once more: $*"\n[ "$AGAIN" = pass ]\n')
    for program in (python, pytest):
        program.chmod(0o755)
    return tmp_path


def fail(checkout: Path, tests: int) -> None:
    """As pytest leaves it."""
    cache = checkout / ".pytest_cache" / "v" / "cache"
    cache.mkdir(parents=True)
    lines = ",\n".join(f'  "tests/test_it.py::test_{number}": true' for number in range(tests))
    (cache / "lastfailed").write_text(f"{{\n{lines}\n}}")


def run_step(checkout: Path, step: str, *, fit: bool, again: str = "fail", can_run: str = "yes") -> Done:
    """The step as it is written, with a `make` that only says what it was asked for."""
    ci = (ROOT / ".ci" / "run").read_text()
    settings = "\n".join(re.findall(r"^[A-Z_]+=.*$", ci, re.MULTILINE))
    functions = "\n".join(re.findall(r"^(?:once_more|tests|node)\(\) \{.*?^\}$", ci, re.MULTILINE | re.DOTALL))
    make = f'make() {{ echo "make $1"; case $1 in test*) {str(fit).lower()};; *) false;; esac; }}'
    script = f"set -euo pipefail\n{settings}\n{make}\n{functions}\n{step}"
    environment = {"CAN_RUN": can_run, "AGAIN": again, "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_a_machine_that_cannot_run_a_node_says_why_and_does_not_fail(checkout: Path) -> None:
    done = run_step(checkout, "node", fit=True, can_run="no")

    assert done.returncode == 0
    assert "make test-cluster\n" not in done.stdout
    assert done.stderr == "a node needs root\n"
    assert "left out" in done.stdout


@pytest.mark.parametrize(("step", "suite"), [("tests", "test"), ("node", "test-cluster")])
@pytest.mark.parametrize(("again", "code"), [("pass", 0), ("fail", 1)])
def test_few_that_failed_run_once_more_and_count_then(
    checkout: Path, step: str, suite: str, again: str, code: int
) -> None:
    fail(checkout, 3)

    done = run_step(checkout, step, fit=False, again=again)

    assert f"make {suite}\n" in done.stdout
    assert "=== 3 failed, and run once more\nonce more: --last-failed " in done.stdout
    assert done.returncode == code


@pytest.mark.parametrize("step", ["tests", "node"])
def test_many_that_failed_are_no_chance(checkout: Path, step: str) -> None:
    fail(checkout, 4)

    done = run_step(checkout, step, fit=False, again="pass")

    assert "once more" not in done.stdout
    assert done.returncode == 1


def test_what_failed_before_any_test_is_no_chance(checkout: Path) -> None:
    done = run_step(checkout, "tests", fit=False, again="pass")

    assert "once more" not in done.stdout
    assert done.returncode == 1


def test_nothing_runs_once_more_where_all_passed(checkout: Path) -> None:
    done = run_step(checkout, "tests", fit=True)

    assert done.stdout == "make test\n"
    assert done.returncode == 0
