"""The image of the container that holds the namespaces of each pod, without a registry."""

import hashlib
from pathlib import Path
from typing import TextIO

from order_devstack import go
from order_devstack.cluster.program_image import docker_archive
from order_devstack.locking import exclusive
from order_devstack.servers import MODULES, cache_directory

IMAGE = "localhost/order-devstack-pause:1"


def obtain(out: TextIO) -> Path:
    """A docker-archive in the cache, built the first time. Raises DevstackError if Go is missing."""
    module = MODULES / "pause"
    version = go.toolchain(go.required_by((module / "go.mod").read_text()))
    digest = hashlib.sha256((module / "main.go").read_bytes() + version.encode()).hexdigest()[:12]
    archive = cache_directory() / f"pause-{digest}.tar"
    with exclusive(archive.with_suffix(".lock"), on_wait=lambda: None):
        if not archive.exists():
            program = archive.with_suffix(".program")
            go.build(module, ".", ldflags=["-s", "-w"], output=program, log=archive.with_suffix(".log"), out=out)
            unfinished = archive.with_suffix(".unfinished")
            unfinished.write_bytes(docker_archive(IMAGE, "pause", program.read_bytes()))
            unfinished.replace(archive)
            program.unlink()
    return archive
