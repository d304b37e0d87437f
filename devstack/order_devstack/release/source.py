"""The commit that a release is made of."""

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from order_devstack.errors import DevstackError
from order_devstack.release import versions


@dataclass(frozen=True)
class Source:
    """All files of a commit, in a folder of their own. Each has the time of the commit, so that archives are equal."""

    folder: Path
    commit: str
    time: int
    """Of the commit, in seconds since 1970."""

    @classmethod
    def export(cls, checkout: Path, version: str, into: Path) -> Self:
        """Raises DevstackError if something is not committed, or another version than `version` is stated anywhere."""
        if changed := _git(checkout, "status", "--porcelain").decode():
            first = ", ".join(line[3:] for line in changed.splitlines()[:5])
            raise DevstackError(f"a release is made of what is committed; commit or remove {first}.")
        if others := {where: found for where, found in versions.stated(checkout).items() if found != version}:
            where = ", ".join(f"{place} {found}" for place, found in others.items())
            raise DevstackError(f"not at {version}: {where}; run `make version VERSION={version}` and commit.")
        commit = _git(checkout, "rev-parse", "HEAD").decode().strip()
        archive = _git(checkout, "archive", "--format=tar", commit)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(into, filter="data")
        return cls(into, commit, int(_git(checkout, "show", "--no-patch", "--format=%ct", commit)))


def _git(checkout: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        raise DevstackError(f"`git {' '.join(arguments)}` failed: {done.stderr.decode().strip()}")
    return done.stdout
