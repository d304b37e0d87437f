"""Services of the cluster in front of processes that run beside the pods, in the node's network."""

from collections.abc import Mapping
from typing import Any

from order_devstack.cluster.layout import NODE_IP


def host_service(
    namespace: str, name: str, ports: Mapping[str, tuple[str, int]], cluster_ip: str | None = None
) -> list[dict[str, Any]]:
    """A Service without a selector, and its one endpoint. `ports`: name -> protocol and number."""
    exposed = [{"name": port, "protocol": protocol, "port": number} for port, (protocol, number) in ports.items()]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": exposed, **({"clusterIP": cluster_ip} if cluster_ip else {})},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "addressType": "IPv4",
            "metadata": {
                "name": f"{name}-host",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": [{"addresses": [NODE_IP], "conditions": {"ready": True}}],
            "ports": exposed,
        },
    ]
