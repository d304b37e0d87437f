"""What the operator tells of itself, and whether somebody asks it: both take rights where the chart is installed."""

import re
from collections.abc import Iterable

from order_cli import installation, kind_checks
from order_cli.finding import GOOD, PROBLEM, UNKNOWN, WARNING, Finding
from order_cli.kubectl import Json, Kubectl

_MONITORS = "podmonitors.monitoring.coreos.com"
_LEADS = re.compile(r"^orders_operator_active 1(\.0)?$", re.MULTILINE)
_REACHES = re.compile(r"^orders_operator_temporal_reachable (\S+)$", re.MULTILINE)


def temporal(kubectl: Kubectl) -> Iterable[Finding]:
    """Whether the operator that leads reaches Temporal, by its metrics, which the API server fetches. Raises
    CommandError."""
    for operator in installation.operators(installation.deployments(kubectl)):
        name, namespace = operator["metadata"]["name"], operator["metadata"]["namespace"]
        selector = ",".join(f"{key}={value}" for key, value in operator["spec"]["selector"]["matchLabels"].items())
        pods = kubectl.json("get", "pods", f"--selector={selector}", namespace=namespace).get("items", [])
        told = [text for pod in pods if _LEADS.search(text := _metrics(kubectl, pod, operator))]
        reaches = _REACHES.search(told[0]) if told else None
        if reaches is None:
            yield Finding(UNKNOWN, f"operator {name}: none of its {len(pods)} pods tells by its metrics that it leads")
        elif float(reaches[1]) == 1:
            yield Finding(GOOD, f"operator {name}: reaches Temporal, which is set up for orders")
        else:
            yield Finding(PROBLEM, f"operator {name}: does not reach Temporal, or it is not set up: see its log")


def _metrics(kubectl: Kubectl, pod: Json, operator: Json) -> str:
    ports = [
        port["containerPort"]
        for container in operator["spec"]["template"]["spec"]["containers"]
        for port in container.get("ports", [])
        if port.get("name") == "metrics"
    ]
    if not ports or pod.get("status", {}).get("phase") != "Running":
        return ""
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}:{ports[0]}/proxy/metrics"
    return kubectl.run("get", "--raw", path)


def monitors(kubectl: Kubectl) -> Iterable[Finding]:
    """Where there is a Prometheus Operator, whether it is told to scrape. Raises CommandError."""
    if _MONITORS not in kind_checks.installed(kubectl):
        yield Finding(GOOD, "there is no Prometheus Operator that could be told to scrape")
        return
    found = kubectl.run("get", _MONITORS, "--all-namespaces", installation.OURS, "--output=name").split()
    if found:
        yield Finding(GOOD, f"Prometheus Operator is told to scrape by {len(found)} PodMonitors")
    else:
        yield Finding(WARNING, "Prometheus Operator is not told to scrape: monitoring.podMonitors.enabled of the chart")
