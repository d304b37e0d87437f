"""APIs of the cluster that a process of the node serves: the API server passes requests on to it."""

from typing import Any

from order_devstack.cluster import certificates
from order_devstack.cluster.host_services import host_service


def objects(name: str, namespace: str, service: str, port: int) -> list[dict[str, Any]]:
    """The Service of the process and the APIService, whose name is `version.group`."""
    version, _, group = name.partition(".")
    spec = {
        "group": group,
        "version": version,
        "service": {"namespace": namespace, "name": service, "port": port},
        "caBundle": certificates.bundle(),
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    return [
        *host_service(namespace, service, {"https": ("TCP", port)}),
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec},
    ]
