"""`kubectl order` as one file, and krew's manifest of it. The file is a zip of Python that runs by itself: the program
and the packages it needs, as they are pinned and installed here. They are Python alone, so that one archive does for
every system that has a Python."""

import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from order_devstack.errors import DevstackError
from order_devstack.release.source import Source

PROGRAM = "kubectl-order"
ARCHIVE = f"{PROGRAM}.tar.gz"
MANIFEST = "order-platform.yaml"
_INTERPRETER = b"#!/usr/bin/env python3\n"
_MAIN = b"from order_cli.main import main\n\nmain()\n"
_NOT_NEEDED = frozenset({"pydantic"})
"""typer asks for it, order_cli.plain_texts keeps it from being used; half of it is machine code."""
_OLDEST_TIME = (1980, 1, 1, 0, 0, 0)
"""Of files in a zip, which knows none before: the same in every build."""


def build(source: Source, out: Path) -> None:
    """Write out/krew/kubectl-order.tar.gz and out/krew/order-platform.yaml with its sum. Raises DevstackError."""
    folder = out / "krew"
    folder.mkdir()
    packed = _archive(
        {PROGRAM: (_program(source), 0o755), "LICENSE": ((source.folder / "LICENSE").read_bytes(), 0o644)}
    )
    (folder / ARCHIVE).write_bytes(packed)
    text = (source.folder / "cli" / "krew" / MANIFEST).read_text()
    version = re.search(r'^version = "(.+)"$', (source.folder / "cli/pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    text = re.sub(r"^  version: v.*$", f"  version: v{version[1]}", text, flags=re.MULTILINE)
    (folder / MANIFEST).write_text(text.replace("SHA256", hashlib.sha256(packed).hexdigest()))


def _program(source: Source) -> bytes:
    packed = io.BytesIO(_INTERPRETER)
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as program:
        for name, content in sorted(_files(source).items()):
            program.writestr(zipfile.ZipInfo(name, _OLDEST_TIME), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _files(source: Source) -> dict[str, bytes]:
    """Path in the program -> content."""
    package = source.folder / "cli" / "order_cli"
    found = {
        f"order_cli/{path.relative_to(package)}": path.read_bytes() for path in _below(package) if path.suffix != ".pyc"
    }
    about = (source.folder / "cli" / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', about, re.MULTILINE)
    assert version is not None
    found["kubectl_order.dist-info/METADATA"] = f"Name: {PROGRAM}\nVersion: {version[1]}\n".encode()
    found["__main__.py"] = _MAIN
    wanted = re.findall(r'^    "(.+)",$', about[about.index("dependencies = [") :], re.MULTILINE)
    pinned = (source.folder / "requirements" / "dev.txt").read_text()
    for name in _needed(wanted):
        found |= _installed(name, pinned)
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Its files, those behind a link to a folder as well."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _below(path)
        else:
            yield path


def _needed(wanted: list[str], seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """These packages and all that they need here, by name."""
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name.lower() in seen | _NOT_NEEDED or (
            requirement.marker and not requirement.marker.evaluate({"extra": ""})
        ):
            continue
        seen = _needed(distribution(requirement.name).requires or [], seen | {requirement.name.lower()})
    return seen


def _installed(name: str, pinned: str) -> dict[str, bytes]:
    """The files of an installed package. Raises DevstackError if it is another version than the pinned one, or not of
    Python alone."""
    found = distribution(name)
    if f"\n{name}=={found.version} " not in f"\n{pinned}":
        raise DevstackError(f"{name} {found.version} is installed and another is pinned: run `make setup`.")
    files = [file for file in found.files or [] if ".." not in file.parts and file.suffix != ".pyc"]
    if compiled := [str(file) for file in files if file.suffix in {".so", ".pyd"}]:
        raise DevstackError(f"{name} is not of Python alone: {', '.join(compiled)}.")
    kept = [file for file in files if ".dist-info" not in file.parts[0] or file.name in {"METADATA", "LICENSE"}]
    return {str(file): Path(str(found.locate_file(file))).read_bytes() for file in kept}


def _archive(files: dict[str, tuple[bytes, int]]) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()
