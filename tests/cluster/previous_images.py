"""Images of the previous release, which had none: this one's, in which Python finds that release's code first."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from order_devstack.images import Image

TAG = "previous"
_FOLDERS = ("operator", "worker", "workflows")
_HOME = "previous"


def of_previous_release(image: Image, release: Path, folder: Path) -> Path:
    """docker-archive of `image` with the code in `release`, under the tag `TAG`."""
    name = f"{image.name.rpartition(':')[0]}:{TAG}"
    archive = folder / f"{image.archive.stem}-{TAG}.tar"
    layer = _layer(release)
    with tarfile.open(image.archive) as source, tarfile.open(archive, "w") as written:
        [manifest] = json.loads(_read(source, "manifest.json"))
        configuration = json.loads(_read(source, manifest["Config"]))
        configuration["config"]["Env"].append(f"PYTHONPATH={':'.join(f'/{_HOME}/{each}' for each in _FOLDERS)}")
        configuration["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        configuration.pop("history", None)
        for each in manifest["Layers"]:
            written.addfile(source.getmember(each), source.extractfile(each))
        changed: dict[str, Any] = {
            "Config": "config.json",
            "RepoTags": [name],
            "Layers": [*manifest["Layers"], "previous.tar"],
        }
        add = _adder(written)
        add("previous.tar", layer)
        add("config.json", json.dumps(configuration).encode())
        add("manifest.json", json.dumps([changed]).encode())
    return archive


def _layer(release: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for each in _FOLDERS:
            layer.add(release / each, f"{_HOME}/{each}", filter=_readable)
    return buffer.getvalue()


def _readable(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """By the user that pods run as."""
    member.mode |= 0o555 if member.isdir() else 0o444
    return member


def _adder(archive: tarfile.TarFile) -> Callable[[str, bytes], None]:
    def add(name: str, body: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))

    return add


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    assert found is not None, name
    return found.read()
