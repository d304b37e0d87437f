"""What `make up` leaves to a person at a shell."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from order_devstack.command_line import main
from order_devstack.conditions import wait_for_condition
from order_devstack.stack import PROCESSES, Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that `make up` has started."""
    root = tmp_path_factory.mktemp("up") / "stack"
    stack = Stack(root, ui=False)
    try:
        assert main(["--dir", str(root), "up"]) == 0
        yield stack
    finally:
        stack.clean()


def in_a_shell(stack: Stack, command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command, where the env file was sourced."""
    script = f". '{stack.root}/env' && {command}"
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False, cwd=folder)


def test_the_articles_of_the_samples_are_kept_in_stock(stack: Stack) -> None:
    ready = wait_for_condition(stack.kubectl, "Ready", "stockitems", within_seconds=30.0, say=print)

    assert sorted(item["spec"]["sku"] for item in ready) == ["PROD-001", "PROD-002", "PROD-003"]


def test_a_second_up_leaves_a_stock_item_as_somebody_edited_it(stack: Stack) -> None:
    stack.kubectl("patch", "stockitem", "prod-003", "--type=merge", "--patch", '{"spec":{"minimum":7}}')

    assert main(["--dir", str(stack.root), "up"]) == 0

    assert stack.kubectl("get", "stockitem", "prod-003", "--output=jsonpath={.spec.minimum}") == "7"


def test_the_env_file_leads_the_workers_commands_to_the_ledger(stack: Stack, tmp_path: Path) -> None:
    done = in_a_shell(stack, f"{sys.executable} -m order_worker verify-audit", tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no flaws in the audit trail")
    assert list(tmp_path.iterdir()) == []


def test_a_pid_file_is_what_kill_takes(stack: Stack, tmp_path: Path) -> None:
    for name in PROCESSES:
        assert in_a_shell(stack, f"kill -0 $(cat '{stack.root}/run/{name}.pid')", tmp_path).returncode == 0
