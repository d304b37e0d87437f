"""The screens that test_screens.py holds. Run as a program, writes them anew: look at the difference."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from recorded_cluster import HERE, NOW, FakeCluster

FILES = sorted((HERE / "screens").glob("*.txt"))
_AT_A_FIXED_TIME = """
import sys
from datetime import datetime
from order_cli import clock, main
now = datetime.fromisoformat(sys.argv.pop(1))
clock.now = lambda: now
clock.monotonic = lambda: 0.0
main.main()
"""
"""`kubectl order` whose clock stands."""


def split(file: Path) -> tuple[str, str]:
    """The command, as one would type it after `kubectl order`, and what it says."""
    first, _, expected = file.read_text().partition("\n")
    return first.removeprefix("$ kubectl order").strip(), expected


def said_by(command: str, home: Path) -> str:
    """What a command says, with its exit code where that is not 0."""
    cluster = FakeCluster(home)
    cluster.takes("o-4eyes", orderStatus="Charge Customer", phase="Running")
    cluster.install()
    done = subprocess.run(
        [sys.executable, "-c", _AT_A_FIXED_TIME, NOW.isoformat(), *shlex.split(command)],
        env={**os.environ, **cluster.environment(), "PYTHONIOENCODING": "utf-8"},
        input="",
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr + (f"exit {done.returncode}\n" if done.returncode else "")


if __name__ == "__main__":
    for each in FILES:
        asked, _ = split(each)
        with tempfile.TemporaryDirectory() as folder:
            each.write_text(f"$ kubectl order {asked}\n{said_by(asked, Path(folder))}")
