"""The first process in a node's namespaces: `python -m order_devstack.cluster.init_process FOLDER CGROUP`.

It sets up the network, starts every part, reaps what ends, and stops the parts in an order in which none waits for one
that is gone. `namespaces` starts it.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from order_devstack.cluster import (
    backing_servers,
    certificates,
    cgroups,
    container_runtime,
    control_plane,
    dns,
    keda,
    metrics_server,
    mount_points,
    network,
    node,
)
from order_devstack.cluster.layout import CONFIGURATION, Layout
from order_devstack.cluster.parts import Parts
from order_devstack.errors import StartFailed

_START_SECONDS = 120.0
"""A part needs one to four; the rest is for a busy machine."""
_STOP_ORDER = (
    "keda-adapter",
    "keda-operator",
    "metrics-server",
    "kubelet",
    "kube-proxy",
    "coredns",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
)
"""The kernel ends the rest, pods among them, with this process."""


class _Init:
    def __init__(self, layout: Layout, cgroup: str) -> None:
        self._layout = layout
        self._cgroup = cgroup
        self._parts = Parts(layout.log)
        self._began = time.monotonic()
        self._stopping = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Until SIGTERM. Raises StartFailed if a part ends before."""
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        mount_points.mount()
        cgroups.create(self._cgroup)
        network.set_up()
        CONFIGURATION.mkdir(parents=True)
        dns.serve_node()
        backing = threading.Thread(target=self._start_backing_servers, daemon=True)
        backing.start()
        self._start_cluster()
        self._wait(lambda: not backing.is_alive(), "PostgreSQL and Temporal")
        if self._failure:
            raise self._failure
        self._apply(backing_servers.objects())
        self._say("Temporal and PostgreSQL serve")
        if keda.is_wanted(self._layout.programs):
            self._start_keda()
        self._layout.ready.touch()
        while not self._stopping:
            self._parts.reap()
            time.sleep(0.05)
        self._parts.stop(_STOP_ORDER)

    def _start_cluster(self) -> None:
        programs, layout = self._layout.programs, self._layout
        self._parts.start(container_runtime.containerd())
        self._parts.start(control_plane.etcd(programs))
        certificates.issue()
        for name in (*certificates.CLIENTS, *certificates.SERVERS, "kubelet"):
            (CONFIGURATION / f"{name}.kubeconfig").write_text(certificates.kubeconfig(name))
        layout.kubeconfig.touch(mode=0o600)
        layout.kubeconfig.write_text(certificates.kubeconfig("admin"))
        self._parts.start(control_plane.kube_apiserver(programs, layout))
        self._wait(lambda: self._answers("get", "--raw", "/readyz"), "the API server")
        self._say("the API server serves")
        self._parts.start(control_plane.kube_controller_manager(programs))
        self._parts.start(control_plane.kube_scheduler(programs))
        self._wait(lambda: self._succeeds(container_runtime.import_image(self._pause())), "containerd")
        self._parts.start(node.kubelet(programs, self._cgroup))
        self._parts.start(node.kube_proxy(programs))
        self._apply(dns.objects())
        self._parts.start(dns.coredns(programs))
        self._apply(metrics_server.objects())
        self._parts.start(metrics_server.metrics_server(programs))
        self._wait(self._node_is_ready, "the node")
        self._say("the node is ready")
        # The rules of kube-proxy are not in place when the node is ready, nor is the account that pods run as.
        self._wait(lambda: dns.resolves("kubernetes.default.svc.cluster.local"), "cluster DNS")
        self._wait(lambda: self._answers("get", "serviceaccount", "default"), "the account of pods")
        self._say("names resolve, pods can run")

    def _start_keda(self) -> None:
        # "apply" would write each kind into an annotation of its own, too, and they are too long for one.
        kinds = (self._layout.programs / keda.KINDS).resolve()  # kubectl follows no link to a folder
        created = self._kubectl("create", f"--filename={kinds}")
        if created.returncode != 0:
            raise StartFailed(f"kubectl create failed: {created.stderr}")
        self._apply(keda.objects())
        for part in keda.parts(self._layout.programs):
            self._parts.start(part)
        self._wait(lambda: self._answers("get", "--raw", keda.API), "KEDA")
        self._say("KEDA serves")

    def _start_backing_servers(self) -> None:
        try:
            backing_servers.start(self._layout.programs, self._parts)
        except BaseException as failure:  # noqa: BLE001 - raised again by the thread that waits for this one
            self._failure = failure

    def _pause(self) -> Path:
        return self._layout.programs / "pause.tar"

    def _node_is_ready(self) -> bool:
        done = self._kubectl("get", "nodes", "--output=json")
        nodes = json.loads(done.stdout)["items"] if done.returncode == 0 else []
        conditions = {each["type"]: each["status"] for item in nodes for each in item["status"]["conditions"]}
        return conditions.get("Ready") == "True"

    def _apply(self, objects: list[dict[str, object]]) -> None:
        done = self._kubectl(
            "apply", "--filename=-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )
        if done.returncode != 0:
            raise StartFailed(f"kubectl apply failed: {done.stderr}")

    def _answers(self, *arguments: str) -> bool:
        return self._kubectl(*arguments).returncode == 0

    def _kubectl(self, *arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self._layout.programs / "kubectl"), f"--kubeconfig={self._layout.kubeconfig}", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "", "KUBECACHEDIR": str(CONFIGURATION / "kubectl")},
        )

    @staticmethod
    def _succeeds(command: list[str]) -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _wait(self, holds: Callable[[], bool], what: str) -> None:
        self._parts.until(lambda: self._stopping or holds(), what, _START_SECONDS)
        if self._stopping:
            raise StartFailed("it was asked to stop while it started")

    def _say(self, what: str) -> None:
        with self._layout.progress.open("a") as progress:
            progress.write(f"{what} ({time.monotonic() - self._began:.1f} s)\n")

    def _ask_to_stop(self, *_: object) -> None:
        self._stopping = True


def main(folder: str, cgroup: str) -> int:
    """Returns the exit code."""
    try:
        _Init(Layout(Path(folder)), cgroup).run()
    except StartFailed as failure:
        print(failure, flush=True)
        return 1
    except subprocess.CalledProcessError as failure:
        print(f"{' '.join(failure.cmd)} failed: {failure.stderr}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
