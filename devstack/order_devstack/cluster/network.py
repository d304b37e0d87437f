"""The node's network: one interface, the routes, and nothing that leads out."""

import subprocess
from pathlib import Path

from order_devstack.cluster.layout import NODE_IP, SERVICES

_COMMANDS = (
    "ip link set lo up",
    "ip link add v0 type veth peer name v1",
    f"ip address add {NODE_IP}/24 dev v0",
    "ip link set v0 up",
    "ip link set v1 up",
    # The kernel asks for a route before kube-proxy's rules send the packet elsewhere. Pods have one; without this one
    # the node itself, and with it the API server, could not reach a Service.
    f"ip route add {SERVICES} dev v0 src {NODE_IP}",
    # A Service that kube-proxy does not know yet refuses at once; kube-proxy's own rules come before these.
    f"iptables -w -A OUTPUT -d {SERVICES} -p tcp -j REJECT --reject-with tcp-reset",
    f"iptables -w -A FORWARD -d {SERVICES} -p tcp -j REJECT --reject-with tcp-reset",
)


def set_up() -> None:
    """In a network namespace that is new. Raises CalledProcessError."""
    for command in _COMMANDS:
        subprocess.run(command.split(), check=True, capture_output=True, text=True)
    settings = Path("/proc/sys/net/ipv4")
    (settings / "ip_forward").write_text("1")
    # One refusal a second by default: a second try in that second would hang until TCP sends it again.
    (settings / "icmp_ratelimit").write_text("0")
