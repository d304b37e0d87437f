"""containerd, and the network that it gives to pods."""

import json
from pathlib import Path

from order_devstack.cluster.layout import CONFIGURATION, CONTAINERD_SOCKET, PODS, VOLATILE
from order_devstack.cluster.parts import Part
from order_devstack.cluster.pause_image import IMAGE

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
"""Where distributions put the network plugins."""
_CNI_CONFIGURATION = CONFIGURATION / "cni"
_UNUSED_SNAPSHOTTERS = ("btrfs", "zfs", "devmapper", "aufs")


def containerd() -> Part:
    """With everything it keeps in memory."""
    configuration = CONFIGURATION / "containerd.toml"
    configuration.write_text(_toml(next(each for each in CNI_FOLDERS if each.is_dir())))
    _CNI_CONFIGURATION.mkdir(exist_ok=True)
    (_CNI_CONFIGURATION / "10-pods.conflist").write_text(json.dumps(_pod_network()))
    return Part(name="containerd", command=["containerd", "--config", str(configuration)])


def import_image(archive: Path) -> list[str]:
    """The command that gives the node an image of a docker-archive; it runs inside the node."""
    return _ctr("images", "import", str(archive))


def name_image(image: str, another: str) -> list[str]:
    """The command that gives an image of the node another name beside its own; it runs inside the node."""
    return _ctr("images", "tag", image, another)


def kill_container(identifier: str) -> list[str]:
    """The command that kills every process of a container at once; it runs inside the node.

    `identifier` as in the status of its pod.
    """
    return _ctr("tasks", "kill", "--signal", "SIGKILL", "--all", identifier.rpartition("/")[2])


def _ctr(*arguments: str) -> list[str]:
    return ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", *arguments]


def _toml(plugins: Path) -> str:
    disabled = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in _UNUSED_SNAPSHOTTERS)
    return f'''version = 2
root = "{VOLATILE / "containerd"}"
state = "{VOLATILE / "containerd-state"}"
oom_score = 0
disabled_plugins = [{disabled}]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{_CNI_CONFIGURATION}"
'''


def _pod_network() -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": str(VOLATILE / "pod-addresses"),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,  # a pod reaches itself by its Service
        "ipam": addresses,
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
