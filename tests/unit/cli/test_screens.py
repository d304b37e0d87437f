"""Every screen, character for character: a file of screens/ is a command and what it says at 14:04:30 on the recorded
cluster. `python tests/unit/cli/screens.py` writes them anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_cluster import FakeCluster
from screens import FILES, said_by, split


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_screen_is_as_it_was(file: Path, tmp_path: Path) -> None:
    command, expected = split(file)

    assert said_by(command, tmp_path) == expected


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path)
    cluster.install()
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m order_cli list -A -o json | head -1"],
        capture_output=True,
        text=True,
        env={**os.environ, **cluster.environment()},
        check=False,
    )

    assert (done.stdout, done.stderr) == ("{\n", "")
