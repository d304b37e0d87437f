"""The image of the container that holds the namespaces of each pod, without a registry."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import TextIO

from order_devstack import go
from order_devstack.locking import exclusive
from order_devstack.servers import MODULES, cache_directory

IMAGE = "localhost/order-devstack-pause:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


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
            unfinished.write_bytes(_docker_archive(program.read_bytes()))
            unfinished.replace(archive)
            program.unlink()
    return archive


def _docker_archive(program: bytes) -> bytes:
    layer = _tar({"pause": program})
    machine = platform.machine()
    configuration = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "layer.tar": layer,
            "config.json": json.dumps(configuration).encode(),
            "manifest.json": json.dumps(manifest).encode(),
        }
    )


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(body), 0o755
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()
