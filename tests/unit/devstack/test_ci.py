"""The step of CI that needs a whole node, on machines that can run one and machines that cannot."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


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


def run_step(
    checkout: Path, *, can_run: str, tests: str = "true", again: str = "fail"
) -> "subprocess.CompletedProcess[str]":
    ci = (ROOT / ".ci" / "run").read_text()
    settings = "\n".join(re.findall(r"^[A-Z_]+=.*$", ci, re.MULTILINE))
    [step] = re.findall(r"^node\(\) \{.*?^\}$", ci, re.MULTILINE | re.DOTALL)
    make = f'make() {{ echo "make $1"; case $1 in test-cluster) {tests};; *) false;; esac; }}'
    script = f"set -euo pipefail\n{settings}\n{make}\n{step}\nnode"
    environment = {"CAN_RUN": can_run, "AGAIN": again, "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_a_machine_that_cannot_run_a_node_says_why_and_does_not_fail(checkout: Path) -> None:
    done = run_step(checkout, can_run="no")

    assert done.returncode == 0
    assert "make test-cluster\n" not in done.stdout
    assert done.stderr == "a node needs root\n"
    assert "left out" in done.stdout


@pytest.mark.parametrize(
    ("tests", "again", "code", "runs"), [("true", "fail", 0, 1), ("false", "pass", 0, 2), ("false", "fail", 1, 2)]
)
def test_where_a_node_runs_its_tests_count_and_those_that_fail_run_once_more(
    checkout: Path, tests: str, again: str, code: int, runs: int
) -> None:
    done = run_step(checkout, can_run="yes", tests=tests, again=again)

    assert "make test-cluster\n" in done.stdout
    assert 1 + done.stdout.count("once more: -m cluster and not keda --last-failed") == runs
    assert done.returncode == code
