"""KEDA, as processes of the node: the operator that asks Temporal how many tasks wait, and the adapter that tells it to
HorizontalPodAutoscalers."""

import shutil
from pathlib import Path
from typing import Any

from order_devstack import go
from order_devstack.cluster import aggregation
from order_devstack.cluster.layout import CONFIGURATION, NODE_IP, PKI
from order_devstack.cluster.parts import Part
from order_devstack.servers import MODULES

KINDS = "keda-kinds"
"""Among the programs: the folder with KEDA's CustomResourceDefinitions."""
API = "/apis/external.metrics.k8s.io/v1beta1"
_MODULE = "github.com/kedacore/keda/v2"
_NAMESPACE = "keda"
_METRICS_PORT, _ADAPTER_PORT = 9666, 4444
_NOWHERE = "0"
"""As an address: does not listen."""


def kinds() -> Path:
    """The folder in KEDA's module. Raises DevstackError."""
    return go.source(MODULES / "keda", _MODULE) / "config" / "crd" / "bases"


def is_wanted(programs: Path) -> bool:
    """Whether the node was given it."""
    return (programs / KINDS).exists()


def objects() -> list[dict[str, Any]]:
    """Its namespace, and the API that autoscalers read."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        *aggregation.objects("v1beta1.external.metrics.k8s.io", _NAMESPACE, "keda-metrics-apiserver", _ADAPTER_PORT),
    ]


def parts(programs: Path) -> list[Part]:
    """The operator and the adapter; each knows the other by the certificate that both have."""
    certificates = CONFIGURATION / "keda"
    certificates.mkdir()
    for name, file in (("ca.crt", "ca.crt"), ("tls.crt", "keda.crt"), ("tls.key", "keda.key")):
        shutil.copy(PKI / file, certificates / name)
    kubeconfig = CONFIGURATION / "keda.kubeconfig"
    environment = {
        "WATCH_NAMESPACE": "",
        "POD_NAMESPACE": _NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": _NAMESPACE,
        "KUBECONFIG": str(kubeconfig),
    }
    operator = [
        str(programs / "keda-operator"),
        f"--cert-dir={certificates}",
        f"--metrics-bind-address={_NOWHERE}",
        f"--health-probe-bind-address={_NOWHERE}",
        f"--metrics-service-bind-address={NODE_IP}:{_METRICS_PORT}",
    ]
    adapter = [
        str(programs / "keda-adapter"),
        *(f"--{use}-kubeconfig={kubeconfig}" for use in ("lister", "authentication", "authorization")),
        f"--metrics-service-address={NODE_IP}:{_METRICS_PORT}",
        f"--cert-dir={certificates}",
        f"--tls-cert-file={certificates / 'tls.crt'}",
        f"--tls-private-key-file={certificates / 'tls.key'}",
        f"--bind-address={NODE_IP}",
        f"--secure-port={_ADAPTER_PORT}",
        "--port=8089",
    ]
    return [
        Part(name="keda-operator", command=operator, environment=environment),
        Part(name="keda-adapter", command=adapter, environment=environment),
    ]
