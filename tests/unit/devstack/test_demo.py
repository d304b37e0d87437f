"""What the demo says at its end can be pasted, however narrow the terminal."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from order_devstack import demo
from order_devstack.stack import Stack


@pytest.mark.parametrize("up", [True, False])
def test_no_command_is_broken_at_80_columns(tmp_path: Path, up: bool) -> None:
    shown = Console(file=StringIO(), width=80, highlight=False)

    demo._next_steps(Stack(tmp_path / ".devstack"), "demo-1", shown, up=up)

    assert isinstance(shown.file, StringIO)
    lines = shown.file.getvalue().splitlines()
    assert "  kubectl apply -f manifests/samples/needs-approval.yaml && kubectl get ord --watch" in lines
    assert any(line.endswith("make up (or make demo KEEP=1), then") for line in lines) is not up
