"""etcd and kube-apiserver: a Kubernetes API without nodes and without controllers.

Nothing collects garbage, finishes deleting a namespace or turns a Deployment into pods here.
"""

import base64
import csv
import http.client
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from order_devstack.errors import CommandFailed
from order_devstack.ports import HOST
from order_devstack.probes import http_get, http_ok
from order_devstack.processes import Service

ADMIN = "admin"
_READS = 10
_PAUSE_SECONDS = 1.0
"""A server that has just started asks to wait, as kubectl does for as long."""
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def etcd(program: Path, root: Path, ports: Mapping[str, int], environment: Mapping[str, str]) -> Service:
    """One member, plain HTTP."""
    client, peer = f"http://{HOST}:{ports['etcd']}", f"http://{HOST}:{ports['etcd-peer']}"
    return Service(
        command=[
            str(program),
            f"--data-dir={root / 'data' / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        ],
        environment=environment,
        ports=[ports["etcd"], ports["etcd-peer"]],
        answers=lambda: http_ok(ports["etcd"], "/readyz"),
    )


def kube_apiserver(
    program: Path,
    root: Path,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
    *,
    users: Mapping[str, Sequence[str]],
    audit: bool,
) -> Service:
    """RBAC; an admin and `users` (name -> groups) by token; with `audit` one line per request in log/audit.log."""
    pki = root / "pki"
    # The server makes its own serving certificate. Its key also signs service-account tokens: a second key would
    # need a second tool to make it, and guard nothing that this one does not.
    key = pki / "apiserver.key"
    command = [
        str(program),
        f"--etcd-servers=http://{HOST}:{ports['etcd']}",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={ports['kube-apiserver']}",
        f"--cert-dir={pki}",
        f"--token-auth-file={_token_file(root)}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",  # it waits for objects that only a controller-manager makes
    ]
    policy = pki / "audit-policy.json"
    if audit:
        command += [
            f"--audit-policy-file={policy}",
            f"--audit-log-path={root / 'log' / 'audit.log'}",
            "--audit-log-maxsize=0",
        ]

    def write_files() -> None:
        pki.mkdir(parents=True, exist_ok=True)
        policy.write_text(json.dumps(_AUDIT_POLICY))
        _write_tokens(root, users)

    return Service(
        command=command,
        environment=environment,
        ports=[ports["kube-apiserver"]],
        prepare=write_files,
        answers=lambda: _serves(root, ports["kube-apiserver"]),
    )


def kubeconfig(root: Path, port: int, users: Mapping[str, str] | None = None) -> str:
    """A kubeconfig with one context per user (name -> token), the first one current. Default: all of the token file."""
    tokens = users or _tokens(root)
    authority = base64.b64encode(_certificate(root).read_bytes()).decode()
    return json.dumps(  # which is YAML
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "devstack",
                    "cluster": {"server": f"https://{HOST}:{port}", "certificate-authority-data": authority},
                }
            ],
            "users": [{"name": name, "user": {"token": token}} for name, token in tokens.items()],
            "contexts": [{"name": name, "context": {"cluster": "devstack", "user": name}} for name in tokens],
            "current-context": next(iter(tokens)),
        },
        indent=2,
    )


def read(root: Path, port: int, path: str) -> dict[str, Any]:
    """The object at `path`, as the admin reads it. Raises CommandFailed with the HTTP status, 0 without an answer."""
    certificate, token = _certificate(root), _tokens(root).get(ADMIN)
    try:
        for _ in range(_READS):
            status, body = http_get(port, path, ca=certificate, token=token, within_seconds=30.0)
            if status != http.HTTPStatus.TOO_MANY_REQUESTS:
                break
            time.sleep(_PAUSE_SECONDS)
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(f"GET {path}", 0, "", str(error)) from error
    if status != http.HTTPStatus.OK:
        raise CommandFailed(f"GET {path}", status, "", body.decode(errors="replace"))
    found: dict[str, Any] = json.loads(body)
    return found


def has_certificate(root: Path) -> bool:
    """Whether the API server has run before, so that a kubeconfig can be written."""
    return _certificate(root).exists()


def _serves(root: Path, port: int) -> bool:
    certificate, token = _certificate(root), _tokens(root).get(ADMIN)
    return (
        certificate.exists()
        and http_ok(port, "/readyz", ca=certificate, token=token)
        # Made by a controller inside the server, some time after it calls itself ready.
        and http_ok(port, "/api/v1/namespaces/default", ca=certificate, token=token)
    )


def _tokens(root: Path) -> dict[str, str]:
    try:
        with _token_file(root).open(newline="") as lines:
            return {name: token for token, name, _, _ in csv.reader(lines)}
    except FileNotFoundError:
        return {}


def _write_tokens(root: Path, users: Mapping[str, Sequence[str]]) -> None:
    known = _tokens(root)
    file = _token_file(root)
    unfinished = file.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    with unfinished.open("w", newline="") as lines:
        for name, groups in {ADMIN: ["system:masters"], **users}.items():
            csv.writer(lines).writerow([known.get(name) or secrets.token_hex(16), name, name, ",".join(groups)])
    unfinished.replace(file)


def _token_file(root: Path) -> Path:
    return root / "pki" / "tokens.csv"


def _certificate(root: Path) -> Path:
    return root / "pki" / "apiserver.crt"
