"""An image that holds one program of Go and nothing else, without a registry."""

import hashlib
import io
import json
import platform
import tarfile

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def docker_archive(image: str, program: str, content: bytes) -> bytes:
    """`image`: its name; `program`: what it runs, found on its PATH."""
    layer = _tar({program: content})
    machine = platform.machine()
    configuration = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        # Without a file of users only these tell a program who it is.
        "config": {"Entrypoint": [f"/{program}"], "Env": ["PATH=/", "HOME=/", "USER=root"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
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
