"""etcd, the API server, the controllers and the scheduler."""

import json
from pathlib import Path

from order_devstack.cluster.layout import CONFIGURATION, NODE_IP, PKI, SERVICES, VOLATILE, Layout
from order_devstack.cluster.parts import Part

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The controllers act as service accounts, too.
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


def etcd(programs: Path) -> Part:
    """One member, in memory."""
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return Part(
        name="etcd",
        command=[
            str(programs / "etcd"),
            f"--data-dir={VOLATILE / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ],
    )


def kube_apiserver(programs: Path, layout: Layout) -> Part:
    """With all that a cluster has: Node and RBAC authorization, Pod Security, aggregation, an audit log."""
    policy = CONFIGURATION / "audit-policy.json"
    policy.write_text(json.dumps(_AUDIT_POLICY))
    key = PKI / "service-accounts.key"
    return Part(
        name="kube-apiserver",
        command=[
            str(programs / "kube-apiserver"),
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            "--secure-port=6443",
            f"--advertise-address={NODE_IP}",
            f"--service-cluster-ip-range={SERVICES}",
            f"--tls-cert-file={PKI / 'kube-apiserver.crt'}",
            f"--tls-private-key-file={PKI / 'kube-apiserver.key'}",
            f"--client-ca-file={PKI / 'ca.crt'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--kubelet-client-certificate={PKI / 'kubelet-client.crt'}",
            f"--kubelet-client-key={PKI / 'kubelet-client.key'}",
            f"--kubelet-certificate-authority={PKI / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={PKI / 'front-ca.crt'}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={PKI / 'front-proxy.crt'}",
            f"--proxy-client-key-file={PKI / 'front-proxy.key'}",
            "--profiling=false",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={layout.audit_log}",
            "--audit-log-maxsize=0",
        ],
    )


def kube_controller_manager(programs: Path) -> Part:
    """Without cloud, node ranges (there is one node) and leader election (there is one)."""
    return Part(
        name="kube-controller-manager",
        command=[
            str(programs / "kube-controller-manager"),
            *_kubeconfigs("kube-controller-manager"),
            f"--service-account-private-key-file={PKI / 'service-accounts.key'}",
            f"--root-ca-file={PKI / 'ca.crt'}",
            f"--cluster-signing-cert-file={PKI / 'ca.crt'}",
            f"--cluster-signing-key-file={PKI / 'ca.key'}",
            f"--requestheader-client-ca-file={PKI / 'front-ca.crt'}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--allocate-node-cidrs=false",
            "--bind-address=127.0.0.1",
            f"--flex-volume-plugin-dir={VOLATILE / 'volume-plugins'}",
            # With the default of 20 its start, an account and a token for each controller, takes four seconds in which
            # no Deployment moves.
            "--kube-api-qps=300",
            "--kube-api-burst=600",
        ],
    )


def kube_scheduler(programs: Path) -> Part:
    """The only one, without leader election."""
    return Part(
        name="kube-scheduler",
        command=[
            str(programs / "kube-scheduler"),
            *_kubeconfigs("kube-scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )


def _kubeconfigs(name: str) -> list[str]:
    file = CONFIGURATION / f"{name}.kubeconfig"
    return [f"--{use}kubeconfig={file}" for use in ("", "authentication-", "authorization-")]
