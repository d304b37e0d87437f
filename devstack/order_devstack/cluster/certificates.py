"""The cluster's certificates and the kubeconfigs made from them."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import trustme

from order_devstack.cluster.layout import API, API_SERVICE_IP, NODE, NODE_IP, PKI

CLIENTS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", None),
    "kube-scheduler": ("system:kube-scheduler", None),
    "kube-proxy": ("system:kube-proxy", None),
    "coredns": ("system:coredns", None),
    "kubelet-client": ("kubelet-client", "system:masters"),  # the API server towards the kubelet
}
"""File name -> user and group that the API server takes the holder for."""
SERVERS: Mapping[str, tuple[str, str | None, tuple[str, ...]]] = {
    "metrics-server": ("metrics-server", None, ("metrics-server.kube-system.svc",)),
    "keda": ("keda", "system:masters", ("keda-metrics-apiserver.keda.svc", NODE_IP)),
}
"""The same of those that the API server asks in turn, with the names that they serve under."""
_IN_CLUSTER = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


def issue() -> None:
    """Write every key and certificate into PKI."""
    PKI.mkdir(parents=True)
    authority, front = trustme.CA(), trustme.CA()
    for name, each in (("ca", authority), ("front-ca", front)):
        each.cert_pem.write_to_path(str(PKI / f"{name}.crt"))
        each.private_key_pem.write_to_path(str(PKI / f"{name}.key"))
    _leaf(authority, "kube-apiserver", "kube-apiserver", None, *_SERVED_AS)
    _leaf(authority, "kubelet", f"system:node:{NODE}", "system:nodes", NODE, NODE_IP)  # it serves with it, too
    _leaf(authority, "service-accounts", "service-accounts", None)
    _leaf(front, "front-proxy", "front-proxy", None)
    for name, (user, group, names) in SERVERS.items():
        _leaf(authority, name, user, group, *names)
    for name, (user, group) in CLIENTS.items():
        _leaf(authority, name, user, group)


_SERVED_AS = ("127.0.0.1", "localhost", NODE_IP, API_SERVICE_IP, NODE, *_IN_CLUSTER)


def bundle() -> str:
    """The certificate that the others are signed with, as objects of the API carry it."""
    return base64.b64encode((PKI / "ca.crt").read_bytes()).decode()


def kubeconfig(name: str) -> str:
    """A kubeconfig, complete in itself, for the holder of the certificate `name`."""

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    user = {"client-certificate-data": data(PKI / f"{name}.crt"), "client-key-data": data(PKI / f"{name}.key")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "cluster", "cluster": {"server": API, "certificate-authority-data": data(PKI / "ca.crt")}}
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": name}}],
            "current-context": "cluster",
        },
        indent=2,
    )


def _leaf(authority: trustme.CA, name: str, user: str, group: str | None, *names: str) -> None:
    # Without any name the certificate would carry an empty critical extension, which Go refuses.
    issued = authority.issue_cert(*(names or (f"{name}.client.invalid",)), common_name=user, organization_name=group)
    (PKI / f"{name}.crt").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(PKI / f"{name}.key"))
