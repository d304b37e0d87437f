"""Hands a release in `dist/` to a registry of images and charts, and to an index of Python packages, by the tools that
everybody uses for it. They find credentials where they always do."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from order_devstack import images, servers
from order_devstack.errors import DevstackError

Command = list[str]
CHARTS = ("order-platform-crds", "order-platform")


def publish(
    folder: Path, version: str, *, registry: str, index: str, plain_http: bool, run: Callable[[Command], None]
) -> None:
    """Images first, then charts, which name them; packages last, since an index never takes one back. Without `index`
    no packages. Raises DevstackError."""
    _check(folder, version)
    commands = [*image_commands(folder, version, registry, plain_http=plain_http)]
    commands += chart_commands(folder, version, registry, plain_http=plain_http)
    if index:
        commands.append(package_command(folder, index))
    for command in commands:
        run(command)


def image_commands(folder: Path, version: str, registry: str, *, plain_http: bool) -> list[Command]:
    """`crane push` each archive under the name that the chart asks for."""
    insecure = ["--insecure"] if plain_http else []
    return [
        ["crane", "push", *insecure, str(archive), f"{registry}/{images.REPOSITORY}/{archive.stem}:{version}"]
        for archive in sorted((folder / "images").glob("*.tar"))
    ]


def chart_commands(folder: Path, version: str, registry: str, *, plain_http: bool) -> list[Command]:
    """`helm push` each chart, to install as `oci://<registry>/charts/<chart>`."""
    insecure = ["--plain-http"] if plain_http else []
    return [
        ["helm", "push", *insecure, str(folder / "charts" / f"{chart}-{version}.tgz"), f"oci://{registry}/charts"]
        for chart in CHARTS
    ]


def package_command(folder: Path, index: str) -> Command:
    """`twine upload` of the wheels."""
    wheels = map(str, sorted(folder.glob("*.whl")))
    return ["twine", "upload", "--non-interactive", f"--repository-url={index}", *wheels]


def run(command: Command) -> None:
    """With the tools that the project builds; twine is the user's own. Raises DevstackError."""
    name, *arguments = command
    program = servers.obtain([name])[name] if name in servers.TOOLS else shutil.which(name)
    if program is None:
        raise DevstackError(f"{name} was not found: `pipx install {name}`, then once more.")
    print("$ " + " ".join(command), flush=True)
    if (code := subprocess.run([program, *arguments], check=False).returncode) != 0:
        raise DevstackError(f"`{name} {arguments[0]}` failed ({code}). What was published before it stays.")


def show(command: Command) -> None:
    """Instead of running it."""
    print(" ".join(command))


def _check(folder: Path, version: str) -> None:
    """Raises DevstackError where this is not the whole release as it was built."""
    advice = f"`make release VERSION={version}` builds it"
    sums = folder / "SHA256SUMS"
    if not sums.exists() or not (folder / "charts" / f"{CHARTS[0]}-{version}.tgz").exists():
        raise DevstackError(f"{folder} has no release {version}: {advice}.")
    for line in sums.read_text().splitlines():
        digest, _, name = line.partition("  ")
        file = folder / name
        if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise DevstackError(f"{file} is not as it was built: {advice} once more.")
