"""Installing charts into the stack, with a chart small enough to see what happened to it."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from order_devstack.errors import CommandFailed
from order_devstack.platform import NAMESPACE, install_chart, wait_for_crds
from order_devstack.probes import http_ok
from order_devstack.stack import Stack

RELEASE = "devstack-test"
CONFIG_MAP = """apiVersion: v1
kind: ConfigMap
metadata: {name: devstack-test}
data: {greeting: "{{ .Values.greeting }}"}
"""
HOOK = """apiVersion: batch/v1
kind: Job
metadata:
  name: devstack-test
  annotations: {helm.sh/hook: pre-install}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: never, image: never}]
"""

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.devstack.test"},
    "spec": {
        "group": "devstack.test",
        "scope": "Cluster",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.fixture
def chart(tmp_path: Path, servers: Stack) -> Iterator[Path]:
    chart = tmp_path / RELEASE
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {RELEASE}\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("greeting: hello\n")
    (chart / "templates" / "config-map.yaml").write_text(CONFIG_MAP)
    yield chart
    with contextlib.suppress(CommandFailed):
        servers.helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    (servers.root / "run" / f"{RELEASE}.chart").unlink(missing_ok=True)


def install(servers: Stack, chart: Path, greeting: str = "hello") -> bool:
    return install_chart(RELEASE, chart, {"greeting": greeting}, servers.root, servers.helm, servers.kubectl)


def greeting(servers: Stack) -> str:
    arguments = ("--namespace", NAMESPACE, "--output=jsonpath={.data.greeting}")
    return servers.kubectl("get", "configmap", RELEASE, *arguments)


def test_a_chart_is_installed_with_its_values(servers: Stack, chart: Path) -> None:
    assert install(servers, chart, "good morning")
    assert greeting(servers) == "good morning"


def test_an_unchanged_chart_is_left_alone(servers: Stack, chart: Path) -> None:
    install(servers, chart)

    assert not install(servers, chart)


def test_changed_values_are_brought_in(servers: Stack, chart: Path) -> None:
    install(servers, chart)

    assert install(servers, chart, "good evening")
    assert greeting(servers) == "good evening"


def test_a_changed_template_is_brought_in(servers: Stack, chart: Path) -> None:
    install(servers, chart)
    (chart / "templates" / "config-map.yaml").write_text(CONFIG_MAP.replace("{{", "my {{"))

    assert install(servers, chart)
    assert greeting(servers) == "my hello"


def test_a_release_that_somebody_removed_comes_back(servers: Stack, chart: Path) -> None:
    install(servers, chart)
    servers.helm("uninstall", RELEASE, "--namespace", NAMESPACE)

    assert install(servers, chart)
    assert greeting(servers) == "hello"


def test_hooks_which_nothing_here_could_finish_are_not_waited_for(servers: Stack, chart: Path) -> None:
    (chart / "templates" / "hook.yaml").write_text(HOOK)

    assert install(servers, chart)
    assert (
        f"job.batch/{RELEASE}" not in servers.kubectl("get", "jobs", "--namespace", NAMESPACE, "--output=name").split()
    )


def test_an_installation_killed_half_way_is_completed(servers: Stack, chart: Path) -> None:
    (chart / "templates" / "hook.yaml").write_text(HOOK)
    script = f". '{servers.root}/env' && exec helm install {RELEASE} '{chart}' -n {NAMESPACE} --create-namespace"
    servers.helm("version")  # so that the env file leads to it
    helm = subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while "pending-install" not in servers.helm("list", "--namespace", NAMESPACE):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    helm.kill()
    helm.wait()
    try:
        assert install(servers, chart)
        listed = json.loads(servers.helm("list", "--namespace", NAMESPACE, "--output", "json"))
        assert [row["status"] for row in listed if row["name"] == RELEASE] == ["deployed"]
    finally:
        servers.kubectl("delete", "job", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found")


def test_new_kinds_are_served_after_the_wait_for_them(servers: Stack) -> None:
    server = json.loads(servers.kubeconfig.read_text())
    token = server["users"][0]["user"]["token"]
    port = int(servers.addresses["kube-apiserver"].rsplit(":", 1)[1])
    servers.kubectl("apply", "--filename=-", input=json.dumps(CRD))
    try:
        wait_for_crds(servers.kubectl, print)

        authority = servers.root / "pki" / "apiserver.crt"
        assert http_ok(port, "/apis/devstack.test/v1/things", ca=authority, token=token)
    finally:
        servers.kubectl("delete", "crd", "things.devstack.test")
