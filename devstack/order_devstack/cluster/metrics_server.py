"""metrics-server, as a process of the node: what pods use, for autoscalers by CPU and for `kubectl top`."""

from pathlib import Path
from typing import Any

from order_devstack.cluster import aggregation
from order_devstack.cluster.layout import CONFIGURATION, NODE_IP, PKI
from order_devstack.cluster.parts import Part

_NAME, _NAMESPACE = "metrics-server", "kube-system"
_PORT = 4443
_READ = ["get", "list", "watch"]
_RULES = [
    {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": _READ},
]


def metrics_server(programs: Path) -> Part:
    """It asks the kubelet as often as it may: an autoscaler is no quicker than its metric."""
    kubeconfig = CONFIGURATION / f"{_NAME}.kubeconfig"
    certificate, key = PKI / f"{_NAME}.crt", PKI / f"{_NAME}.key"
    return Part(
        name=_NAME,
        command=[
            str(programs / _NAME),
            *(f"--{use}kubeconfig={kubeconfig}" for use in ("", "authentication-", "authorization-")),
            f"--bind-address={NODE_IP}",
            f"--secure-port={_PORT}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--kubelet-client-certificate={certificate}",
            f"--kubelet-client-key={key}",
            f"--kubelet-certificate-authority={PKI / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",  # it must be less than the resolution
        ],
    )


def objects() -> list[dict[str, Any]]:
    """Its rights, its Service, and the API that leads there."""
    group = "rbac.authorization.k8s.io"
    role = {"metadata": {"name": f"system:{_NAME}"}, "rules": _RULES}
    subjects = [{"kind": "User", "name": _NAME, "apiGroup": group}]

    def binding(kind: str, name: str, to: str, to_kind: str, **metadata: str) -> dict[str, Any]:
        return {
            "apiVersion": f"{group}/v1",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "roleRef": {"apiGroup": group, "kind": to_kind, "name": to},
            "subjects": subjects,
        }

    reader = "extension-apiserver-authentication-reader"
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", **role},
        binding("ClusterRoleBinding", f"system:{_NAME}", f"system:{_NAME}", "ClusterRole"),
        binding("ClusterRoleBinding", f"{_NAME}:system:auth-delegator", "system:auth-delegator", "ClusterRole"),
        binding("RoleBinding", f"{_NAME}-auth-reader", reader, "Role", namespace=_NAMESPACE),
        *aggregation.objects("v1beta1.metrics.k8s.io", _NAMESPACE, _NAME, _PORT),
    ]
