"""kubelet and kube-proxy."""

import json
from pathlib import Path

from order_devstack.cluster.layout import (
    CONFIGURATION,
    CONTAINERD_SOCKET,
    DNS_IP,
    NODE,
    NODE_IP,
    PKI,
    PODS,
    VOLATILE,
)
from order_devstack.cluster.parts import Part


def kubelet(programs: Path, cgroup: str) -> Part:
    """It puts pods below `cgroup`, which must exist in every hierarchy."""
    resolv_conf = CONFIGURATION / "resolv.conf"
    resolv_conf.write_text(f"nameserver {NODE_IP}\n")
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(PKI / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(PKI / "kubelet.crt"),
        "tlsPrivateKeyFile": str(PKI / "kubelet.key"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_IP],
        "resolvConf": str(resolv_conf),
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "imageGCHighThresholdPercent": 100,  # nobody could bring an image back
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "100Mi"},
        "podLogsDir": str(VOLATILE / "pod-logs"),
        "volumePluginDir": str(VOLATILE / "volume-plugins"),
        "maxPods": 110,
        "syncFrequency": "10s",  # a Secret that was changed reaches its pods after as long, not after a minute
    }
    file = CONFIGURATION / "kubelet.json"
    file.write_text(json.dumps(configuration))
    return Part(
        name="kubelet",
        command=[
            str(programs / "kubelet"),
            f"--config={file}",
            f"--kubeconfig={CONFIGURATION / 'kubelet.kubeconfig'}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_IP}",
            f"--root-dir={VOLATILE / 'kubelet'}",
            f"--cert-dir={VOLATILE / 'kubelet-pki'}",
        ],
    )


def kube_proxy(programs: Path) -> Part:
    """Services by iptables of the node's own network."""
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": NODE,
        "conntrack": {"maxPerCore": 0},  # a setting of the machine, not of this network
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(CONFIGURATION / "kube-proxy.kubeconfig")},
        "iptables": {"minSyncPeriod": "100ms"},
    }
    file = CONFIGURATION / "kube-proxy.json"
    file.write_text(json.dumps(configuration))
    return Part(name="kube-proxy", command=[str(programs / "kube-proxy"), f"--config={file}"])
