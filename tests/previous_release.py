"""The release before this one, from its commit, to run beside this one on the same ledger."""

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

COMMIT = "38efdd1"
"""The last release whose ledger is at schema 0004."""

ROOT = Path(__file__).parents[1]
FOLDERS = ("operator", "worker", "workflows", "charts", "devstack", "tests", "pyproject.toml")


class NoPreviousRelease(Exception):
    """Its commit is neither in this clone nor at the place that the clone came from."""


def obtain(folder: Path) -> Path:
    """Unpack the previous release there. Raises NoPreviousRelease, with the command that helps."""
    archive = _archive()
    if archive is None:  # a shallow clone
        complete = ["git", "fetch", "--quiet", "--unshallow"]
        subprocess.run(complete, cwd=ROOT, check=False, capture_output=True)
        archive = _archive()
    if archive is None:
        raise NoPreviousRelease(
            f"commit {COMMIT}, the previous release, is not in this clone: run `git fetch --unshallow`, then the test"
        )
    with tarfile.open(fileobj=BytesIO(archive)) as unpacked:
        unpacked.extractall(folder, filter="data")
    return folder


def _archive() -> bytes | None:
    command = ["git", "archive", "--format=tar", COMMIT, *FOLDERS]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def environment(release: Path) -> dict[str, str]:
    """In which Python imports that release, with this one's dependencies."""
    folders = ("operator", "worker", "workflows", "devstack", "tests/contract", "tests")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(release / folder) for folder in folders)}


def start(release: Path, script: str, *arguments: str) -> "subprocess.Popen[str]":
    """A process of that release, which talks by lines."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=environment(release),
        cwd=release,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
