"""Programs of the machine that a node needs, and the Debian packages that have them."""

import os
import shutil
import subprocess
from pathlib import Path

from order_devstack.cluster.container_runtime import CNI_FOLDERS
from order_devstack.errors import DevstackError

SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
"""Not on the PATH of every user."""
PACKAGES = {
    "containerd": ("containerd", "ctr", "containerd-shim-runc-v2"),
    "runc": ("runc",),
    "containernetworking-plugins": ("bridge", "host-local", "portmap", "loopback"),
    "iptables": ("iptables",),
    "iproute2": ("ip",),
    "postgresql": ("initdb",),
    "buildah": ("buildah",),
    "mmdebstrap": ("mmdebstrap",),
}
"""Package -> programs. The last two build images."""
_FOR_IMAGES = ("buildah", "mmdebstrap")


def missing(*, images: bool) -> list[str]:
    """Packages whose programs are not there; with `images` also those that build images."""
    return [
        package
        for package, programs in PACKAGES.items()
        if (images or package not in _FOR_IMAGES) and not all(map(_is_there, programs))
    ]


def check(*, images: bool = False) -> None:
    """Raises DevstackError that says what to do."""
    if os.geteuid() != 0:
        raise DevstackError("a node needs root: namespaces, mounts and cgroups are made for it.")
    if packages := missing(images=images):
        raise DevstackError(f"{' '.join(packages)} must be installed: `make cluster-tools` does it on Debian.")


def environment() -> dict[str, str]:
    """In which all these programs are found."""
    return {**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])}


def install() -> bool:
    """Install what is missing; whether anything was. Raises DevstackError where that is not possible."""
    packages = missing(images=True)
    if not packages:
        return False
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise DevstackError(f"install {' '.join(packages)}, or what has the same programs elsewhere than on Debian.")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", "--quiet", *arguments], env=environment, check=False)
        if done.returncode != 0:
            raise DevstackError(f"`apt-get {' '.join(arguments)}` failed.")
    return True


def _is_there(program: str) -> bool:
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_FOLDERS, *map(str, CNI_FOLDERS)]
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    return shutil.which(program, path=os.pathsep.join([*folders, *map(str, debian)])) is not None
