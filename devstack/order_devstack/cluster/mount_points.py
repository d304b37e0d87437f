"""Folders at fixed places that the node's programs write to, whatever their settings say. Each node mounts a file
system of its own there; the machine itself needs no more than an empty folder to mount it on."""

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from order_devstack.servers import cache_directory

FOLDERS = (
    "/var/lib/cni",  # results of the network plugins
    "/var/lib/kubelet",  # the socket of device plugins
    "/var/log/containers",  # links to the logs of pods
    "/opt/containerd",
    "/etc/cni",
    "/usr/libexec/kubernetes",
)


@contextmanager
def prepared() -> Iterator[None]:
    """The folders exist; the last cluster of this machine removes those that clusters have made."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    record = cache / "cluster-mount-points.json"
    with (cache / "cluster-mount-points.lock").open("w") as change, (cache / "clusters.lock").open("w") as running:
        with _exclusive(change):
            made = _read(record)
            for each in map(Path, FOLDERS):
                made += [str(path) for path in (each, *each.parents) if not path.exists()]
                each.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(made))
            fcntl.flock(running, fcntl.LOCK_SH)
        yield
        with _exclusive(change), suppress(BlockingIOError):  # another cluster still has its file systems on them
            fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in sorted(_read(record), key=len, reverse=True):
                with suppress(OSError):  # somebody else has put something there
                    Path(path).rmdir()
            record.unlink()


@contextmanager
def _exclusive(file: TextIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def mount() -> None:
    """Inside the node: a file system in memory on each, and on /run."""
    for folder in ("/run", *FOLDERS):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True, capture_output=True, text=True)


def _read(record: Path) -> list[str]:
    return [str(path) for path in json.loads(record.read_text())] if record.exists() else []
