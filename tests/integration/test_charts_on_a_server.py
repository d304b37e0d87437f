"""The charts as a real API server takes them. No controller runs: who scales is played by its field manager."""

import json
from itertools import count
from typing import Any

import pytest
import yaml
from access import APIServer

from order_devstack.errors import CommandFailed
from order_devstack.platform import CHARTS
from order_devstack.stack import Stack

CHART = str(CHARTS / "order-platform")
_homes = count(1)
EVERYTHING = {
    "ledger": {"existingSecret": {"name": "ledger"}, "audit": {"existingSecret": {"name": "keys"}}},
    "networkPolicy": {"enabled": True},
    "console": {"enabled": True, "hosts": ["orders.example.com"], "ingress": {"enabled": True, "tlsSecret": "tls"}},
    "workers": {"orders": {"autoscaling": {"mode": "hpa"}}, "shipping": {"roles": ["shipping"]}},
    "operator": {"tolerations": [{"key": "orders", "operator": "Exists"}], "hostUsers": False},
    "commonLabels": {"team": "shop"},
    "classes": {"install": False},
    "defaultClass": "",
}


@pytest.fixture
def home(servers: Stack, api_server: APIServer) -> str:
    """A namespace in which Kubernetes' strictest level of Pod Security is enforced."""
    name = f"restricted-{next(_homes)}"
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": levels}}
    servers.kubectl("create", "--filename=-", input=json.dumps(namespace))
    # The controller that makes it is not here.
    servers.kubectl("create", "serviceaccount", "default", f"--namespace={name}")
    return name


def rendered(servers: Stack, home: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    file = servers.root / f"{home}.json"
    file.write_text(json.dumps(values))
    text = servers.helm("template", home, CHART, f"--namespace={home}", f"--values={file}")
    return [item for item in yaml.safe_load_all(text) if item]


def test_the_api_server_takes_every_object(servers: Stack, home: str) -> None:
    """With every field known: a misspelt one would be dropped in silence."""
    objects = rendered(servers, home, EVERYTHING)

    said = servers.kubectl(
        "create", "--dry-run=server", "--validate=strict", "--filename=-", input=yaml.safe_dump_all(objects)
    )

    assert len(said.splitlines()) == len(objects)
    kinds = {item["kind"] for item in objects}
    assert {
        "Ingress",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "Lease",
        "Job",
        "CronJob",
        "Pod",
    } <= kinds


def test_every_pod_is_allowed_where_pod_security_is_restricted(servers: Stack, home: str) -> None:
    for item in rendered(servers, home, EVERYTHING):
        spec = item.get("spec") or {}
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        template = item if item["kind"] == "Pod" else spec.get("template")
        if template:
            body = {**template["spec"], "serviceAccountName": "default"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asked", "namespace": home}, "spec": body}
            servers.kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(pod))


def upgrade(servers: Stack, home: str, *arguments: str) -> str:
    shared = ("--set=classes.install=false", "--set=defaultClass=", "--set=ledger.existingSecret.name=ledger")
    return servers.helm("upgrade", "--install", home, CHART, f"--namespace={home}", *shared, *arguments)


def scale(servers: Stack, home: str, replicas: int, manager: str) -> None:
    """As an autoscaler does, or `kubectl scale`."""
    path = f"/apis/apps/v1/namespaces/{home}/deployments/{home}-order-platform-worker-orders/scale"
    body = json.loads(servers.kubectl("get", "--raw", path))
    body["spec"]["replicas"] = replicas
    servers.kubectl("replace", "--raw", f"{path}?fieldManager={manager}", "--filename=-", input=json.dumps(body))


def replicas(servers: Stack, home: str) -> int:
    name = f"{home}-order-platform-worker-orders"
    return int(servers.kubectl("get", "deployment", name, f"--namespace={home}", "--output=jsonpath={.spec.replicas}"))


@pytest.mark.parametrize(
    ("value", "manager"),
    [
        ("workers.orders.autoscaling.mode=hpa", "kube-controller-manager"),
        ("workers.orders.replicas=null", "kubectl"),
        ("worker.defaults.replicas=null", "kubectl"),
    ],
)
def test_an_upgrade_leaves_the_number_of_pods_to_whoever_scales_them(
    servers: Stack, home: str, value: str, manager: str
) -> None:
    """It failed with a conflict about .spec.replicas, half-way through the release."""
    upgrade(servers, home, f"--set={value}")
    scale(servers, home, 4, manager)

    upgrade(servers, home, f"--set={value}", "--set=workers.orders.podLabels.changed=yes")

    assert replicas(servers, home) == 4


def test_a_number_in_the_values_is_scaled_by_the_values_alone(servers: Stack, home: str) -> None:
    """What docs/charts.md says of `kubectl scale` beside `helm upgrade`."""
    upgrade(servers, home, "--set=workers.orders.replicas=2")
    upgrade(servers, home, "--set=workers.orders.replicas=3")
    assert replicas(servers, home) == 3
    scale(servers, home, 5, "kubectl")

    with pytest.raises(CommandFailed, match=r"conflict with .kubectl. .*replicas"):
        upgrade(servers, home, "--set=workers.orders.replicas=4")


def test_a_lease_that_an_earlier_release_made_is_left_where_it_is(servers: Stack, home: str) -> None:
    """It is not Helm's: the upgrade would be refused for it."""
    name = f"{home}-order-platform-operator"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": home}}
    servers.kubectl("create", "--filename=-", input=json.dumps({**lease, "spec": {"holderIdentity": "the leader"}}))

    upgrade(servers, home)
    upgrade(servers, home, "--set=operator.replicas=3")

    path = ("get", "lease", name, f"--namespace={home}", "--output=jsonpath={.spec.holderIdentity}")
    assert servers.kubectl(*path) == "the leader"
