"""CoreDNS, as a process of the node behind the Service kube-dns."""

import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

from order_devstack.cluster.host_services import host_service
from order_devstack.cluster.layout import CONFIGURATION, DNS_IP, NODE_IP
from order_devstack.cluster.parts import Part

_ROLE = "order-cluster:coredns"
_ANSWER_SECONDS = 0.3


def coredns(programs: Path) -> Part:
    """It knows the cluster's names alone: what else is asked for does not exist, since no way leads out."""
    corefile = CONFIGURATION / "Corefile"
    corefile.write_text(f"""cluster.local:53 in-addr.arpa:53 {{
  bind {NODE_IP}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {CONFIGURATION / "coredns.kubeconfig"} cluster
    pods insecure
    ttl 1
  }}
  cache {{
    success 1000 1
    denial 1000 1
  }}
}}
.:53 {{
  bind {NODE_IP}
  errors
  template IN ANY . {{
    rcode NXDOMAIN
  }}
}}
""")
    return Part(name="coredns", command=[str(programs / "coredns"), "-conf", str(corefile)])


def serve_node() -> None:
    """Names of the cluster mean the same to the node's own processes as to pods: one asks Temporal by its Service."""
    file = CONFIGURATION / "node-resolv.conf"
    file.write_text(f"nameserver {NODE_IP}\nsearch svc.cluster.local cluster.local\noptions ndots:5\n")
    subprocess.run(["mount", "--bind", str(file), "/etc/resolv.conf"], check=True, capture_output=True, text=True)


def objects() -> list[dict[str, Any]]:
    """Its rights and its Service."""
    group = "rbac.authorization.k8s.io"
    watched = [
        {"apiGroups": [""], "resources": ["services", "endpoints", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": _ROLE}, "rules": watched},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _ROLE},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _ROLE},
            "subjects": [{"kind": "User", "name": "system:coredns", "apiGroup": group}],
        },
        *host_service("kube-system", "kube-dns", {"dns": ("UDP", 53), "dns-tcp": ("TCP", 53)}, DNS_IP),
    ]


def resolves(name: str) -> bool:
    """Whether the Service answers with an address: by way of kube-proxy, as pods ask."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(_ANSWER_SECONDS)
        try:
            asker.sendto(question, (DNS_IP, 53))
            answers: int = struct.unpack(">HHHH", asker.recv(512)[:8])[3]
        except OSError:
            return False
    return answers > 0
