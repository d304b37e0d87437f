"""The cgroup below which a node's pods live, in every hierarchy of the machine (v1) or in the one there is (v2)."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "order-cluster-"
"""The pid of the process that holds the cluster follows."""
_ATTEMPTS = 50
_SECONDS_BETWEEN = 0.02


def name() -> str:
    """Of this process's cluster."""
    return f"{_PREFIX}{os.getpid()}"


def create(cgroup: str) -> None:
    """Idempotent."""
    for hierarchy in _hierarchies():
        group = hierarchy / cgroup
        group.mkdir(exist_ok=True)
        if "cpuset" in hierarchy.name.split(","):  # v1: a new group has no processors, and takes no process
            for setting in ("cpuset.cpus", "cpuset.mems"):
                (group / setting).write_text((hierarchy / setting).read_text())


def remove(cgroup: str) -> None:
    """With all below it; its processes must be gone. Waits a moment for the kernel to notice that."""
    for hierarchy in _hierarchies():
        top = hierarchy / cgroup
        for _ in range(_ATTEMPTS):
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
            if not top.exists():
                break
            time.sleep(_SECONDS_BETWEEN)


def remove_abandoned() -> None:
    """Those of clusters whose holder was killed."""
    found = {path.name for hierarchy in _hierarchies() for path in hierarchy.glob(f"{_PREFIX}*")}
    for each in found:
        if (pid := re.fullmatch(rf"{_PREFIX}(\d+)", each)) and not psutil.pid_exists(int(pid[1])):
            remove(each)


def _hierarchies() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink()]
