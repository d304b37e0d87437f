"""Builds the platform's images without a container engine and without a registry: `make images`."""

import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from order_devstack.cluster import debian
from order_devstack.errors import DevstackError
from order_devstack.locking import exclusive
from order_devstack.servers import cache_directory

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = ("operator", "worker", "console")
REGISTRY = "localhost"
"""What stands in the place of a registry's name."""
REPOSITORY = "order-platform"
_BASE = f"{REGISTRY}/order-platform-base"
CONTEXT = (
    *("pyproject.toml", "README.md", "LICENSE", "requirements", "images"),
    *("manifests", "codec", "console", "process", "workflows", "operator", "worker"),
)
"""What `.dockerignore` lets into a build."""
_LISTING = "opt/venv/share/sbom.cdx.json"
_DISTRIBUTION = "bookworm"
_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
# The machine's own certificates and index settings, where it is behind a proxy that needs them.
_SHARED_WITH_THE_BUILD = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
_LEFT_BY_BUILDAH = ("/etc/cni/net.d/cni.lock", "/etc/containers/networks/netavark.lock")


@dataclass(frozen=True)
class Image:
    """A built image."""

    name: str
    """As pods ask for it."""
    archive: Path
    """docker-archive, as `Cluster.load` and `kind load image-archive` take it."""
    identifier: str
    """The same for every build of the same content."""
    revision: str
    """The commit that it was built from."""
    compressed_bytes: int
    """Its size as a registry would send it."""


def build(folder: Path, *, again: bool = False, say: Callable[[str], None] = print) -> list[Image]:
    """Build the images into `folder`; what is there of the same sources stays, unless `again`, which also does without
    the layers of earlier builds. Raises DevstackError."""
    debian.check(images=True)
    store = cache_directory().parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(store / ".lock", on_wait=lambda: say("another process builds images, waiting")), _clean_machine():
        arguments = {"BASE": _base(store, say), "VERSION": version(), "REVISION": revision()}
        return [_image(store, arguments, program, folder, again=again, say=say) for program in PROGRAMS]


def version() -> str:
    """Of the checkout, as the charts ask for it."""
    return str(tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"])


def revision() -> str:
    """The commit that is checked out; with `-dirty` where something has been changed since."""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _image(
    store: Path, arguments: Mapping[str, str], program: str, folder: Path, *, again: bool, say: Callable[[str], None]
) -> Image:
    archive, record = folder / f"{program}.tar", folder / f"{program}.json"
    inputs = digest_of_inputs(arguments)
    known = json.loads(record.read_text()) if record.exists() and archive.exists() else {}
    if not again and known.get("inputs") == inputs:
        return Image(archive=archive, **known["image"])
    began = time.monotonic()
    say(f"{program}: building the image")
    name = f"{REGISTRY}/{REPOSITORY}/{program}:{arguments['VERSION']}"
    _build(store, arguments, program, name, again=again)
    for outdated in (record, archive):
        outdated.unlink(missing_ok=True)
    _buildah(store, "push", "--quiet", name, f"docker-archive:{archive}:{name}")
    (folder / f"{program}.cdx.json").write_bytes(_listing(archive))
    described = {
        "name": name,
        "identifier": _manifest(archive)["Config"].removesuffix(".json"),
        "revision": arguments["REVISION"],
        "compressed_bytes": _compressed_bytes(archive),
    }
    record.write_text(json.dumps({"inputs": inputs, "image": described}, indent=2))
    image = Image(archive=archive, **described)
    size = image.compressed_bytes / 1e6
    say(f"{program}: {name}, {size:.1f} MB with gzip, {time.monotonic() - began:.0f} s, {archive}")
    return image


def _build(store: Path, arguments: Mapping[str, str], program: str, name: str, *, again: bool) -> None:
    shared = [f"--volume={path}:{path}:ro" for path in _SHARED_WITH_THE_BUILD if Path(path).exists()]
    _buildah(
        store,
        "build",
        *("--quiet", "--isolation=chroot", "--layers", "--timestamp=0", f"--file={CHECKOUT}/images/Containerfile"),
        *(f"--build-arg={argument}={value}" for argument, value in arguments.items()),
        *(("--no-cache",) if again else ()),
        *(*shared, f"--target={program}", f"--tag={name}", str(CHECKOUT)),
    )


def digest_of_inputs(arguments: Mapping[str, str]) -> str:
    """Of all that goes into an image."""
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode())
    for entry in CONTEXT:
        path = CHECKOUT / entry
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(CHECKOUT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _listing(archive: Path) -> bytes:
    """What the image says is in it."""
    layers = _manifest(archive)["Layers"]
    with tarfile.open(archive) as image:
        for layer in reversed(layers):
            with tarfile.open(fileobj=_member(image, layer)) as files:
                if _LISTING in files.getnames():
                    return _member(files, _LISTING).read()
    raise DevstackError(f"{archive} has no /{_LISTING}.")


def _manifest(archive: Path) -> dict[str, Any]:
    with tarfile.open(archive) as image:
        [manifest] = json.load(_member(image, "manifest.json"))
    found: dict[str, Any] = manifest
    return found


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    assert found is not None, name
    return found


def _compressed_bytes(archive: Path) -> int:
    counted = _Counter()
    with archive.open("rb") as source, gzip.GzipFile(fileobj=counted, mode="wb", compresslevel=6) as packed:
        shutil.copyfileobj(source, packed, 1 << 20)
    return counted.count


def _base(store: Path, say: Callable[[str], None]) -> str:
    """Debian with Python; made anew each week, so that it has Debian's repairs."""
    name = f"{_BASE}:{_DISTRIBUTION}-{time.strftime('%G-%V', time.gmtime())}"
    if _exists(store, name):
        return name
    say("base: making a Debian with Python")
    context = store / "base"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    archive = context / "base.tar"
    arguments = ["--quiet", "--variant=minbase", f"--include={_BASE_PACKAGES}", _DISTRIBUTION, str(archive)]
    _run(["mmdebstrap", *arguments], "mmdebstrap")
    (context / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    _buildah(store, "build", "--quiet", "--isolation=chroot", "--timestamp=0", f"--tag={name}", str(context))
    shutil.rmtree(context)
    return name


def _exists(store: Path, name: str) -> bool:
    return (
        subprocess.run(_command(store, "inspect", "--type=image", name), capture_output=True, check=False).returncode
        == 0
    )


def _buildah(store: Path, *arguments: str) -> None:
    _run(_command(store, *arguments), f"buildah {arguments[0]}")


def _command(store: Path, *arguments: str) -> list[str]:
    return [
        "buildah",
        f"--root={store / 'store'}",
        f"--runroot={store / 'run'}",
        "--storage-driver=overlay",
        *arguments,
    ]


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(
        command, env=debian.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DevstackError(f"{what} failed ({done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


@contextmanager
def _clean_machine() -> Iterator[None]:
    """Delete the empty files that buildah leaves in the machine's settings, where it was the one that made them."""
    before = [path for path in map(Path, _LEFT_BY_BUILDAH) if path.exists()]
    try:
        yield
    finally:
        for path in map(Path, _LEFT_BY_BUILDAH):
            if path not in before:
                path.unlink(missing_ok=True)


class _Counter:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, data: bytes) -> int:
        self.count += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""
