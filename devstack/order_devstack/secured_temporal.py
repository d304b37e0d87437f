"""A Temporal server as in production that lets in only who shows a certificate and an API key, and the credentials of
the platform in files that can be replaced while it runs."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from temporalio.common import SearchAttributeIndexedValueType

from order_devstack import certificates, temporal_cluster
from order_devstack.certificates import VALID, Authority, TokenKey
from order_devstack.ports import HOST
from order_devstack.probes import listens
from order_devstack.processes import Service
from order_devstack.temporal_server import NAMESPACE, SHIPPING_NAMESPACE
from order_workflows.contract import SEARCH_ATTRIBUTES

SERVER_NAME = "temporal.order-platform.test"
"""In the server's certificate, which is that of no address."""
_SERVICES = ("frontend", "internal-frontend", "history", "matching", "worker")
PORTS = (
    *(f"temporal-{service}" for service in _SERVICES[1:]),
    *(f"temporal-{service}-membership" for service in _SERVICES),
    "temporal-internal-http",
)
"""Beside `temporal`, the frontend's own."""
_TYPES = {
    SearchAttributeIndexedValueType.KEYWORD: "Keyword",
    SearchAttributeIndexedValueType.INT: "Int",
    SearchAttributeIndexedValueType.DATETIME: "Datetime",
}
_REFRESH = "1s"
"""How often the server looks for other certificates, authorities and signing keys."""
_CONNECTION_AGE = "5s"
"""Calls come by a new connection after so long, so that a certificate that counts no more is noticed."""


@dataclass(frozen=True)
class Demands:
    """What a client has to show."""

    certificate: bool = True
    key: bool = True


class Credentials:
    """What the server knows and what the platform shows. Everything is in files below `folder`; the keys of the
    authorities are in memory, so that another object has authorities of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count(1)
        self._authority = Authority.create("order-platform's clients")
        self._servers = Authority.create("servers")
        self._administrators = Authority.create("administrators")
        self._administrator = TokenKey("administrator")
        self._keys: list[TokenKey] = []
        self._shown: TokenKey | None = None
        """What the platform's API key was signed with."""
        self._certified_by: Authority | None = None
        """Of the platform's certificate; None if that has ended."""

    @property
    def mounted(self) -> Path:
        """What a pod would have mounted: ca.crt, tls.crt, tls.key and api-key."""
        return self.folder / "mounted"

    def create(self) -> None:
        """Of the server, an administrator and the platform."""
        server = self._servers.sign(SERVER_NAME, server=True)
        self._write("server/ca.crt", self._servers.certificate)
        self._write("server/tls.crt", server.certificate)
        self._write("server/tls.key", server.key)
        administrator = self._administrators.sign("administrator")
        self._write("administrator/tls.crt", administrator.certificate)
        self._write("administrator/tls.key", administrator.key)
        token = self._administrator.token("administrator", ["temporal-system:admin"])
        self._write("administrator/api-key", token.encode())
        self._write("mounted/ca.crt", self._servers.certificate)
        self._trust()
        self.replace_certificate()
        self.replace_key()

    def replace_key(self, *, valid: timedelta = VALID) -> str:
        """Give the platform another API key; the earlier ones count as well. Returns it."""
        self._keys.append(TokenKey(f"key-{next(self._numbers)}"))
        self._shown = self._keys[-1]
        token = self.token(valid=valid)
        self._publish_keys()
        self._write("mounted/api-key", token.encode())
        return token

    def token(self, *, valid: timedelta = VALID) -> str:
        """A key that counts, written nowhere."""
        permissions = [
            f"{namespace}:{role}" for namespace in (NAMESPACE, SHIPPING_NAMESPACE) for role in ("write", "read")
        ]
        return self._keys[-1].token("order-platform", permissions, valid=valid)

    def revoke_keys(self, *, but_the_last: bool = False) -> None:
        """The API keys that the platform was given so far count no more."""
        self._keys = self._keys[-1:] if but_the_last else []
        self._publish_keys()

    def withdraw_key(self) -> None:
        """Take the platform's API key away from it."""
        self._shown = None
        (self.mounted / "api-key").unlink()

    def replace_certificate(self, *, valid: timedelta = VALID) -> None:
        """Give the platform another certificate of the present authority."""
        self._certified_by = self._authority if valid > timedelta() else None
        signed = self._authority.sign("order-platform", valid=valid)
        self._write("mounted/tls.key", signed.key)
        self._write("mounted/tls.crt", signed.certificate)

    def replace_authority(self) -> None:
        """The server takes certificates of another authority, and no longer those that the platform has."""
        self._authority = Authority.create("order-platform's clients")
        self._trust()

    def restore(self) -> None:
        """Give the platform a key and a certificate that count, where it has them not."""
        if self._shown is None or self._shown not in self._keys:
            self.replace_key()
        if self._certified_by is not self._authority:
            self.replace_certificate()

    def variables(self, of: str = "mounted", demands: Demands = Demands()) -> dict[str, str]:
        """For a program that shows them: the platform's files, or those of the `administrator`."""
        own = self.folder / of
        certificate = {
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(own / "tls.crt"),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(own / "tls.key"),
        }
        return {
            "TEMPORAL_TLS": "true",
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(self.mounted / "ca.crt"),
            "TEMPORAL_TLS_SERVER_NAME": SERVER_NAME,
            **(certificate if demands.certificate else {}),
            **({"TEMPORAL_API_KEY_FILE": str(own / "api-key")} if demands.key else {}),
        }

    def administrator(self) -> dict[str, str]:
        """For Temporal's own client program, which knows no file for the key."""
        variables = self.variables("administrator")
        key = Path(variables.pop("TEMPORAL_API_KEY_FILE")).read_text()
        return {**variables, "TEMPORAL_API_KEY": key}

    def _trust(self) -> None:
        trusted = (self._authority, self._administrators, self._servers)
        self._write("server/client-ca.crt", b"".join(authority.certificate for authority in trusted))

    def _publish_keys(self) -> None:
        keys = [key.public() for key in (self._administrator, *self._keys)]
        self._write("server/jwks.json", json.dumps({"keys": keys}).encode())

    def _write(self, name: str, content: bytes) -> None:
        certificates.write(self.folder / name, content)


Databases = Callable[[str], Mapping[str, Any]]
"""What the server's file says of the database of this name, `temporal-server` or `temporal-visibility`."""


def temporal(
    server: Path,
    client: Path,
    root: Path,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
    credentials: Credentials,
    demands: Demands = Demands(),
    databases: Databases | None = None,
) -> Service:
    """All services of Temporal in one process; without `databases` on SQLite files below `root`."""
    configuration = root / "data" / "temporal-server.json"

    def prepare() -> None:
        if not credentials.mounted.exists():
            credentials.create()
        configuration.parent.mkdir(parents=True, exist_ok=True)
        dynamic = configuration.with_name("temporal-dynamic.json")
        dynamic.write_text(json.dumps({name: [{"value": value}] for name, value in _dynamic(ports).items()}))
        configuration.write_text(
            json.dumps(
                _configuration(ports, dynamic, credentials.folder / "server", demands, databases or _on_sqlite(root))
            )
        )

    return Service(
        # The internal frontend is not among the services that are started where none is named.
        command=[
            str(server),
            f"--config-file={configuration}",
            "--allow-no-auth",
            "start",
            *(f"--service={name}" for name in _SERVICES),
        ],
        environment=environment,
        ports=[ports["temporal"], *(ports[name] for name in PORTS)],
        prepare=prepare,
        answers=lambda: (
            listens(ports["temporal"])
            and _serves(client, f"{HOST}:{ports['temporal']}", {**environment, **credentials.administrator()})
        ),
    )


def _on_sqlite(root: Path) -> Databases:
    def database(name: str) -> Mapping[str, Any]:
        attributes = {"cache": "private", "setup": "true", "journal_mode": "wal", "synchronous": "1"}
        return {
            "sql": {
                "user": "",
                "password": "",
                "pluginName": "sqlite",
                "databaseName": str(root / "data" / f"{name}.db"),
                "connectAddr": "localhost",
                "connectProtocol": "tcp",
                "connectAttributes": attributes,
                "maxConns": 1,
                "maxIdleConns": 1,
                "maxConnLifetime": "1h",
            }
        }

    return database


def _configuration(
    ports: Mapping[str, int], dynamic: Path, server: Path, demands: Demands, databases: Databases
) -> Mapping[str, Any]:
    def service(name: str) -> dict[str, Any]:
        port = ports["temporal" if name == "frontend" else f"temporal-{name}"]
        rpc = {"grpcPort": port, "membershipPort": ports[f"temporal-{name}-membership"], "bindOnIP": HOST}
        if name == "internal-frontend":
            rpc["httpPort"] = ports["temporal-internal-http"]
        return {"rpc": rpc}

    own = {"certFile": str(server / "tls.crt"), "keyFile": str(server / "tls.key")}
    trusted = str(server / "ca.crt")
    tls = {
        "refreshInterval": _REFRESH,
        # Its services show each other the same certificate. Nexus needs it: it comes in by HTTP at the internal
        # frontend, which has the certificate and the demands of the outer one.
        "internode": {
            "server": {**own, "requireClientAuth": True, "clientCaFiles": [trusted]},
            "client": {"serverName": SERVER_NAME, "rootCaFiles": [trusted]},
        },
        "frontend": {
            "server": {
                **own,
                "requireClientAuth": demands.certificate,
                **({"clientCaFiles": [str(server / "client-ca.crt")]} if demands.certificate else {}),
            }
        },
    }
    authorization = {
        "authorizer": "default",
        "claimMapper": "default",
        "jwtKeyProvider": {"keySourceURIs": [f"file://{server / 'jwks.json'}"], "refreshInterval": _REFRESH},
    }
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": 1,
            "datastores": {"default": databases("temporal-server"), "visibility": databases("temporal-visibility")},
        },
        "global": {
            "membership": {"maxJoinDuration": "30s", "broadcastAddress": HOST},
            "tls": tls,
            **({"authorization": authorization} if demands.key else {}),
        },
        # The server's own workers come in by a frontend of their own, which asks nobody who they are.
        "services": {name: service(name) for name in _SERVICES},
        **temporal_cluster.alone(
            f"{HOST}:{ports['temporal-internal-frontend']}", f"{HOST}:{ports['temporal-internal-http']}"
        ),
        "dynamicConfigClient": {"filepath": str(dynamic), "pollInterval": "60s"},
    }


def _dynamic(ports: Mapping[str, int]) -> Mapping[str, object]:
    return {
        "system.enableActivityEagerExecution": True,
        "matching.enableFairness": True,
        "frontend.keepAliveMaxConnectionAge": _CONNECTION_AGE,
        "component.nexusoperations.callback.endpoint.template": f"https://{HOST}:{ports['temporal-internal-http']}"
        "/namespaces/{{.NamespaceName}}/nexus/callback",
        "component.callbacks.allowedAddresses": [{"Pattern": "*", "AllowInsecure": True}],
    }


def _serves(client: Path, address: str, environment: Mapping[str, str]) -> bool:
    """Whether it does, with both namespaces and the search attributes. An administrator makes them: the platform has
    the rights of a writer."""

    def runs(*arguments: str) -> bool:
        command = [str(client), "operator", *arguments, f"--address={address}"]
        try:
            subprocess.run(command, env=dict(environment), capture_output=True, check=True, timeout=10)
        except subprocess.SubprocessError:
            return False
        return True

    for namespace in (NAMESPACE, SHIPPING_NAMESPACE):
        if not runs("namespace", "describe", f"--namespace={namespace}"):
            runs("namespace", "create", f"--namespace={namespace}", "--retention=72h")
            return False
    kinds = {key.name: _TYPES[key.indexed_value_type] for key in SEARCH_ATTRIBUTES}
    attributes = [argument for name, kind in kinds.items() for argument in (f"--name={name}", f"--type={kind}")]
    return runs("search-attribute", "create", f"--namespace={NAMESPACE}", *attributes)
