"""`kubectl order audit --ledger` on a real stack: kubectl asks a real console, behind TLS, with the caller's token."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from cluster import Cluster

from order_devstack import environment
from order_devstack.conditions import wait_until_nothing_is_missing


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    error: str


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class EndsTls:
    """What stands before the console in a cluster: takes TLS off, and passes everything on."""

    def __init__(self, context: ssl.SSLContext, behind: int) -> None:
        self._context, self._behind = context, behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with (
            suppress(OSError),
            closing(self._context.wrap_socket(plain, server_side=True)) as outer,
            closing(socket.create_connection(("127.0.0.1", self._behind))) as inner,
        ):
            back = threading.Thread(target=_pass_on, args=(inner, outer), daemon=True)
            back.start()
            _pass_on(outer, inner)
            back.join()

    def close(self) -> None:
        self._listener.close()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Reached:
    """A console behind TLS."""

    url: str
    authority: Path
    log: Path


@pytest.fixture
def console(cluster: Cluster, tmp_path: Path) -> Iterator[Reached]:
    """For people with tokens, with the ledger's file."""
    authority, port, log = trustme.CA(), free_port(), tmp_path / "console.log"
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    told = {
        "KUBECONFIG": str(cluster.stack.kubeconfig),
        "ORDER_CONSOLE_LISTEN": f"127.0.0.1:{port}",
        "ORDER_CONSOLE_IDENTITY": "token",
        "ORDER_CONSOLE_LEDGER_URL": f"sqlite:///{cluster.stack.root / 'data' / 'ledger.db'}",
    }
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", "order_console"]
        process = subprocess.Popen(command, env={**os.environ, **told}, stdout=output, stderr=output)
    before = EndsTls(context, port)
    try:
        wait_until_nothing_is_missing(lambda: _missing(port), within_seconds=60, say=lambda _: None)
        yield Reached(f"https://localhost:{before.port}", file, log)
    finally:
        before.close()
        process.terminate()
        process.wait(timeout=20)


def _missing(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return ""
    except OSError as error:
        return f"the console: {error}"


@pytest.fixture
def ask(cluster: Cluster, console: Reached, tmp_path: Path) -> Callable[..., Said]:
    """Runs `kubectl order` as a service account with these roles, in the namespace of the test."""

    def run(*arguments: str, roles: tuple[str, ...]) -> Said:
        name = "-".join(roles)
        cluster.kubectl("create", "serviceaccount", name)
        for role in roles:
            who = (f"--clusterrole=order-platform-{role}", f"--serviceaccount={cluster.namespace}:{name}")
            cluster.kubectl("create", "rolebinding", f"{name}-{role}", *who)
        known = json.loads(cluster.stack.kubeconfig.read_text())
        known["users"][0]["user"] = {"token": cluster.kubectl("create", "token", name).strip()}
        kubeconfig = tmp_path / name
        kubeconfig.write_text(json.dumps(known))
        folders = [str(cluster.stack.root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        done = subprocess.run(
            ["kubectl", "order", *arguments, "--namespace", cluster.namespace],  # noqa: S607 - the stack's, by PATH
            env={
                **environment.for_processes(cluster.stack.root),
                "PATH": os.pathsep.join(folders),
                "KUBECONFIG": str(kubeconfig),
                "SSL_CERT_FILE": str(console.authority),
                "ORDER_CONSOLE_URL": console.url,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def ended(cluster: Cluster) -> str:
    """The name of an order that was charged and shipped."""
    name = "audited"
    order = {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": name},
        "spec": {
            "className": "standard",
            "customer": {"id": "CUST-1"},
            "currency": "USD",
            "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 50_000}],
            "shippingAddress": {"name": "Ana", "line1": "1 Main Street", "city": "Springfield", "country": "US"},
            "payment": {"method": "tok_visa"},
        },
    }
    cluster.kubectl("apply", "--filename=-", input=json.dumps(order))
    cluster.kubectl("wait", "--for=condition=Complete", f"ord/{name}", "--timeout=120s")
    return name


def test_an_auditor_reads_the_ledgers_trail_and_has_it_checked(ask: Callable[..., Said], ended: str) -> None:
    said = ask("audit", ended, "--ledger", "--verify", roles=("auditor",))

    assert said.code == 0, said
    assert "500.00 USD" in said.out
    assert "events, no gap, chain intact" in said.out


def test_who_lacks_the_verb_reads_nothing_of_it(ask: Callable[..., Said], ended: str, console: Reached) -> None:
    said = ask("audit", ended, "--ledger", roles=("viewer",))

    assert said.code == 6, said
    assert "this needs the verb audit on orders.order-platform.dev" in said.error
    assert said.out == ""
    assert "Bearer" not in console.log.read_text()
