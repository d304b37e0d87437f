"""A platform whose operator reaches the API server and Temporal through proxies that fail when they are told to."""

import base64
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from api_proxy import ApiProxy, Call, api_proxy
from toxiproxy import Link, toxiproxy

from order_devstack import environment, platform
from order_devstack.errors import DevstackError
from order_devstack.processes import DetachedProcess, Service
from order_devstack.stack import SERVERS, Stack

_OPERATOR = "order-platform-operator"
_LOOK_SECONDS = 0.2
_WATCHES_SECONDS = 60.0
"""Two or three, unless a watch was refused just before."""
ORDERS_WATCH = Call("GET", "/apis/order-platform.dev/v1alpha1/orders", watch=True)


@dataclass
class Wiring:
    """operator -> `kubernetes` -> `api` -> API server, and operator -> `temporal` -> Temporal."""

    stack: Stack
    """Started through it, the operator is wired so. kubectl and the worker are not."""
    kubernetes: Link
    api: ApiProxy
    temporal: Link

    @contextmanager
    def kubelet(self) -> Iterator[None]:
        """Start the operator again whenever it ends, as a kubelet does."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(_LOOK_SECONDS):
                if self.stack.pid("operator") is None:
                    try:
                        self.stack.start("operator", keep=True)
                    except DevstackError:  # not yet; the next look tries again
                        continue

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def restart_operator(self) -> None:
        """Kill it, let what the proxy holds of it come to nothing, and start another."""
        self.stack.kill("operator")
        self.api.mend()
        self.stack.start("operator")

    def ready(self) -> None:
        """No fault is left, and the operator runs and watches orders."""
        self.api.mend()
        pid = self.stack.pid("operator")
        if pid is None:
            self.stack.start("operator")
            pid = self.stack.pid("operator")
        born = time.monotonic() - (time.time() - psutil.Process(pid).create_time())
        deadline = time.monotonic() + _WATCHES_SECONDS
        while not any(request.at > born and request.status == 200 for request in self.api.seen(ORDERS_WATCH)):
            assert time.monotonic() < deadline, "the operator does not watch orders"
            time.sleep(_LOOK_SECONDS)


@contextmanager
def second_operator(stack: Stack, folder: Path, kubeconfig: Path, **variables: str) -> Iterator[DetachedProcess]:
    """Another operator on the same servers, past the proxies; `variables` are further settings of it."""
    process = DetachedProcess(folder, "second-operator")
    service = Service(
        command=[sys.executable, "-P", "-m", "order_operator"],
        environment={
            **environment.for_processes(stack.root),
            "KUBECONFIG": str(kubeconfig),
            "TEMPORAL_ADDRESS": stack.addresses["temporal"],
            "ORDER_OPERATOR_LEASE_NAMESPACE": platform.NAMESPACE,
            "ORDER_OPERATOR_METRICS_ADDRESS": "",
            "ORDER_OPERATOR_PROBES_ADDRESS": "",
            "ORDER_OPERATOR_IDENTITY": "second",
            **variables,
        },
        ports=[],
        answers=lambda: "Temporal is ready for orders" in process.log.read_text(),
    )
    process.spawn(service)
    try:
        process.wait_until_answering(service, service.start_seconds)
        yield process
    finally:
        process.stop(within_seconds=10.0)


@contextmanager
def wiring(folder: Path) -> Iterator[Wiring]:
    """All of it, with the worker; the state is in `folder`."""
    stack = Stack(folder / "stack", ui=False)
    try:
        stack.up([*SERVERS, "worker"])
        certificate = stack.root / "pki" / "apiserver.crt"
        with (
            toxiproxy(folder / "proxies") as proxies,
            api_proxy(stack.addresses["kube-apiserver"], str(certificate)) as api,
        ):
            kubernetes = proxies.link("kubernetes", api.address)
            temporal = proxies.link("temporal", stack.addresses["temporal"])
            kubeconfig = folder / "kubeconfig"
            kubeconfig.touch(mode=0o600)
            kubeconfig.write_text(_kubeconfig(stack, f"https://{kubernetes.address}", api.authority))
            variables = {"KUBECONFIG": str(kubeconfig), "TEMPORAL_ADDRESS": temporal.address}
            wired = stack.with_environment({"operator": variables})
            wired.start("operator")
            yield Wiring(wired, kubernetes, api, temporal)
    finally:
        stack.clean()


def _kubeconfig(stack: Stack, server: str, authority: bytes) -> str:
    token = stack.kubectl("create", "token", _OPERATOR, "--namespace", platform.NAMESPACE, "--duration=720h").strip()
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxies", "cluster": cluster}],
            "users": [{"name": _OPERATOR, "user": {"token": token}}],
            "contexts": [{"name": "proxies", "context": {"cluster": "proxies", "user": _OPERATOR}}],
            "current-context": "proxies",
        }
    )
