"""`kubectl order` in the test's own process, with a kubectl that answers from a recording, on a clock that stands."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded_cluster import NOW, Ask, FakeCluster, Said

from order_cli import clock
from order_cli.main import run


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """Change it, and `write()` it if you change its fields."""
    cluster = FakeCluster(tmp_path)
    cluster.install()
    for name, value in cluster.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clock, "now", lambda: NOW)
    time.tzset()
    yield cluster
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def kubectl_order(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs one command, written as in a shell."""

    def said(command: str) -> Said:
        capsys.readouterr()
        code = run(shlex.split(command))
        out, error = capsys.readouterr()
        return Said(code, out, error)

    return said
