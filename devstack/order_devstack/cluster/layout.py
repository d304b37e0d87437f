"""Where everything of a cluster is: addresses, which are the same in each since each has its own network, and files."""

from dataclasses import dataclass
from pathlib import Path

NODE = "node1"
NODE_IP = "10.200.0.1"
"""Of the node; processes beside the pods, such as Temporal, listen here."""
SERVICES = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_IP = "10.96.0.10"
PODS = "10.244.0.0/24"
API = f"https://{NODE_IP}:6443"

VOLATILE = Path("/run/order-cluster")
"""Inside the node's mount namespace /run is a file system in memory: what lies here goes with the node. The path is
short, as sockets need it."""
CONFIGURATION = VOLATILE / "config"
PKI = VOLATILE / "pki"
CONTAINERD_SOCKET = VOLATILE / "containerd.sock"


@dataclass(frozen=True)
class Layout:
    """Files that the machine outside of the node sees."""

    root: Path

    @property
    def programs(self) -> Path:
        """Links to the servers and clients."""
        return self.root / "bin"

    @property
    def log(self) -> Path:
        """One log for each process; they stay when the cluster is gone."""
        return self.root / "log"

    @property
    def audit_log(self) -> Path:
        """Every API request of a service account outside of kube-system, one line of JSON each."""
        return self.log / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator."""
        return self.root / "kubeconfig"

    @property
    def progress(self) -> Path:
        """What the node has reached, one line each."""
        return self.root / "run" / "progress"

    @property
    def ready(self) -> Path:
        """Exists once pods can run and names resolve."""
        return self.root / "run" / "ready"

    @property
    def init_pid(self) -> Path:
        """The pid, as the machine sees it, of the first process in the node's namespaces."""
        return self.root / "run" / "init.pid"
