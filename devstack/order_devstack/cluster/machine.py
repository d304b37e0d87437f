"""Whether a cluster can run on this machine: what its start does is tried once, in namespaces that are gone at once."""

import subprocess

import psutil

from order_devstack.cluster import cgroups, debian
from order_devstack.cluster.layout import SERVICES
from order_devstack.errors import DevstackError

_LEAST_MEMORY_BYTES = 3 * 2**30
"""A node with the platform uses two and a half GiB."""
_NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private")
_TRIED = {
    "namespaces for network, mounts and processes": "true",
    "mounts": "mount -t tmpfs tmpfs /run",
    "overlay file systems": "mkdir /run/l /run/u /run/w /run/m"
    " && mount -t overlay overlay -o lowerdir=/run/l,upperdir=/run/u,workdir=/run/w /run/m",
    "network interfaces": "ip link add v0 type veth peer name v1 && ip link add b0 type bridge",
    "packet filters": f"iptables -w -A OUTPUT -d {SERVICES} -p tcp -j REJECT --reject-with tcp-reset"
    " && iptables -w -t nat -A POSTROUTING -j MASQUERADE",
}
"""What the kernel or a container around us may refuse -> how that is seen. Each needs those before it."""


def check(*, images: bool = False) -> None:
    """With `images`, also whether they can be built here. Raises DevstackError that says in one sentence what is
    missing."""
    debian.check(images=images)
    if (available := psutil.virtual_memory().available) < _LEAST_MEMORY_BYTES:
        needed = _LEAST_MEMORY_BYTES >> 30
        raise DevstackError(f"a node needs {needed} GiB of memory; {available / 2**30:.1f} are free.")
    script = ""
    for what, command in _TRIED.items():
        script = f"{script} && {command}" if script else command
        done = subprocess.run(
            [*_NAMESPACES, "sh", "-c", script], env=debian.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DevstackError(f"a node needs {what}, which are refused here: {_last_line(done.stderr)}")
    try:
        cgroups.create(cgroups.name())
    except OSError as refused:
        raise DevstackError(f"a node needs cgroups of its own, which are refused here: {refused}") from None
    finally:
        cgroups.remove(cgroups.name())


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given."])[-1]
