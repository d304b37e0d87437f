"""The step of CI that runs tests: what fails by chance runs once more."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which nothing is done, only written down."""
    program = tmp_path / ".venv" / "bin" / "pytest"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "once more: $*"\n[ "$AGAIN" = pass ]\n')
    program.chmod(0o755)
    return tmp_path


def fail(checkout: Path, tests: int) -> None:
    """As pytest leaves it."""
    cache = checkout / ".pytest_cache" / "v" / "cache"
    cache.mkdir(parents=True)
    lines = ",\n".join(f'  "tests/test_it.py::test_{number}": true' for number in range(tests))
    (cache / "lastfailed").write_text(f"{{\n{lines}\n}}")


def run_step(checkout: Path, *, fit: bool, again: str = "fail") -> Done:
    """The step as it is written, with a `make` that only says what it was asked for."""
    ci = (ROOT / ".ci" / "run").read_text()
    settings = "\n".join(re.findall(r"^[A-Z_]+=.*$", ci, re.MULTILINE))
    functions = "\n".join(re.findall(r"^(?:once_more|tests)\(\) \{.*?^\}$", ci, re.MULTILINE | re.DOTALL))
    make = f'make() {{ echo "make $1"; {str(fit).lower()}; }}'
    script = f"set -euo pipefail\n{settings}\n{make}\n{functions}\ntests"
    environment = {"AGAIN": again, "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("again", "code"), [("pass", 0), ("fail", 1)])
def test_few_that_failed_run_once_more_and_count_then(checkout: Path, again: str, code: int) -> None:
    fail(checkout, 3)

    done = run_step(checkout, fit=False, again=again)

    assert "=== 3 failed, and run once more\nonce more: --last-failed " in done.stdout
    assert done.returncode == code


def test_many_that_failed_are_no_chance(checkout: Path) -> None:
    fail(checkout, 4)

    done = run_step(checkout, fit=False, again="pass")

    assert "once more" not in done.stdout
    assert done.returncode == 1


def test_what_failed_before_any_test_is_no_chance(checkout: Path) -> None:
    done = run_step(checkout, fit=False, again="pass")

    assert "once more" not in done.stdout
    assert done.returncode == 1


def test_nothing_runs_once_more_where_all_passed(checkout: Path) -> None:
    done = run_step(checkout, fit=True)

    assert done.stdout == "make test\n"
    assert done.returncode == 0
