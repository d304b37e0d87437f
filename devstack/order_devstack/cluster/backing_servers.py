"""What the platform needs beside Kubernetes: PostgreSQL for ledger and Temporal, and a Temporal server as in production
with its four services on that database. They are processes of the node's network behind Services; their data is in
memory."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from order_devstack import postgresql, temporal_cluster
from order_devstack.cluster.host_services import host_service
from order_devstack.cluster.layout import CONFIGURATION, NODE_IP, VOLATILE
from order_devstack.cluster.parts import Part, Parts
from order_devstack.errors import StartFailed
from order_devstack.temporal_server import NAMESPACE, SHIPPING_NAMESPACE

KUBERNETES_NAMESPACE = "infra"
LEDGER = "ledger"
"""The database of the ledger."""
TEMPORAL = _STORE, _VISIBILITY = "temporal", "temporal_visibility"
"""The databases of Temporal."""
GUARDED_ROLE = "guarded"
"""A role of this name, which a test may make, has to give its password; every other one is let in."""
_POSTGRESQL_PORT = 5432
TEMPORAL_PORT = 7233
_METRICS_PORT = 9233
_PORTS = {"frontend": 7233, "history": 7234, "matching": 7235, "worker": 7239}
_MEMBERSHIP = -300
"""From the port of a service to that by which its instances find each other."""
_SHARDS = 4
_START_SECONDS = 90.0
_POLL_SECONDS = 0.1
_MOST_CONNECTIONS = 300
_DYNAMIC_CONFIGURATION = {
    "system.enableActivityEagerExecution": True,
    # Off by default: a burst in one Kubernetes namespace holds up the orders of all others without it.
    "matching.enableFairness": True,
}


def start(programs: Path, parts: Parts) -> None:
    """Returns when both serve. Raises StartFailed."""
    _start_postgresql(parts)
    sql_tool = str(programs / "temporal-sql-tool")
    endpoint = ("--plugin=postgres12", f"--endpoint={NODE_IP}", f"--port={_POSTGRESQL_PORT}", "--password=")
    for database, schema in ((_STORE, "temporal"), (_VISIBILITY, "visibility")):
        tool = (sql_tool, *endpoint, f"--user={postgresql.SUPERUSER}", f"--database={database}")
        parts.run(Part(name="temporal-schema", command=[*tool, "setup-schema", "--version=0.0"]))
        update = ("update-schema", f"--schema-name=postgresql/v12/{schema}")
        parts.run(Part(name="temporal-schema", command=[*tool, *update]))
    parts.start(_temporal(programs))
    for namespace in (NAMESPACE, SHIPPING_NAMESPACE):
        _create_namespace(programs, parts, namespace)


def objects() -> list[dict[str, Any]]:
    """Their Services: `temporal.infra:7233` and `postgresql.infra:5432`."""
    ports = {"frontend": ("TCP", TEMPORAL_PORT), "metrics": ("TCP", _METRICS_PORT)}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KUBERNETES_NAMESPACE}},
        *host_service(KUBERNETES_NAMESPACE, "temporal", ports),
        *host_service(KUBERNETES_NAMESPACE, "postgresql", {"postgresql": ("TCP", _POSTGRESQL_PORT)}),
    ]


def ledger_url(user: str = postgresql.SUPERUSER) -> str:
    """As pods reach the ledger's database. `user`: a role, followed by `:` and its password where it has one."""
    return f"postgresql://{user}@postgresql.{KUBERNETES_NAMESPACE}:{_POSTGRESQL_PORT}/{LEDGER}"


def _start_postgresql(parts: Parts) -> None:
    programs = postgresql.find_programs()
    data = VOLATILE / "postgresql"
    parts.run(Part(name="initdb", command=["install", "--directory", f"--owner={postgresql.server_user()}", str(data)]))
    settings = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={postgresql.SUPERUSER}")
    initdb = [
        *postgresql.as_server(death_signal=None),
        str(programs / "initdb"),
        *settings,
        f"--pgdata={data / 'data'}",
    ]
    parts.run(Part(name="initdb", command=initdb))
    with (data / "data" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all {GUARDED_ROLE} 0.0.0.0/0 scram-sha-256\n")
        rules.write("host all all 0.0.0.0/0 trust\n")  # nothing but this node's pods and processes can get here
    values = (
        f"listen_addresses={NODE_IP}",
        f"port={_POSTGRESQL_PORT}",
        f"unix_socket_directories={data}",
        f"max_connections={_MOST_CONNECTIONS}",
        *postgresql.NOT_DURABLE,
        "synchronous_commit=off",
    )
    options = [option for value in values for option in ("-c", value)]
    server = [*postgresql.as_server(death_signal=None), str(programs / "postgres"), "-D", str(data / "data"), *options]
    parts.start(Part(name="postgresql", command=server))
    _until(_postgresql_answers, "PostgreSQL")
    with _connected() as connection:
        for database in (LEDGER, _STORE, _VISIBILITY):
            connection.execute(f'CREATE DATABASE "{database}"'.encode())


def _temporal(programs: Path) -> Part:
    dynamic = CONFIGURATION / "temporal-dynamic.yaml"
    dynamic.write_text(json.dumps({name: [{"value": value}] for name, value in _DYNAMIC_CONFIGURATION.items()}))
    file = CONFIGURATION / "temporal.yaml"
    file.write_text(json.dumps(_temporal_configuration(dynamic)))
    command = [str(programs / "temporal-server"), f"--config-file={file}", "--allow-no-auth", "start"]
    return Part(name="temporal", command=command)


def on_postgresql(name: str, address: str) -> Mapping[str, Any]:
    """How Temporal's configuration names a database of PostgreSQL at `host:port`."""
    return {
        "pluginName": "postgres12",
        "databaseName": name,
        "connectAddr": address,
        "connectProtocol": "tcp",
        "user": postgresql.SUPERUSER,
        "password": "",
        "maxConns": 20,
        "maxIdleConns": 20,
        "maxConnLifetime": "1h",
    }


def _temporal_configuration(dynamic: Path) -> Mapping[str, Any]:
    def database(name: str) -> dict[str, Any]:
        return {"sql": on_postgresql(name, f"{NODE_IP}:{_POSTGRESQL_PORT}")}

    frontend = f"{NODE_IP}:{_PORTS['frontend']}"
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": _SHARDS,
            "datastores": {"default": database(_STORE), "visibility": database(_VISIBILITY)},
        },
        "global": {
            "membership": {"maxJoinDuration": "30s", "broadcastAddress": NODE_IP},
            "metrics": {"prometheus": {"timerType": "histogram", "listenAddress": f"{NODE_IP}:{_METRICS_PORT}"}},
        },
        "services": {
            name: {"rpc": {"grpcPort": port, "membershipPort": port + _MEMBERSHIP, "bindOnIP": NODE_IP}}
            for name, port in _PORTS.items()
        },
        **temporal_cluster.alone(frontend),
        "publicClient": {"hostPort": frontend},
        "dynamicConfigClient": {"filepath": str(dynamic), "pollInterval": "60s"},
    }


def _create_namespace(programs: Path, parts: Parts, namespace: str) -> None:
    """The server refuses for a moment after its start, and may have done what it then did not confirm."""
    client = [str(programs / "temporal"), "operator", "namespace"]
    target = [f"--namespace={namespace}", f"--address={NODE_IP}:{TEMPORAL_PORT}"]
    environment = {"TEMPORAL_CONFIG_FILE": os.devnull}

    def exists() -> bool:
        for arguments in (["create", *target, "--retention=72h"], ["describe", *target]):
            try:
                parts.run(Part(name="temporal-client", command=[*client, *arguments], environment=environment))
            except StartFailed:
                continue
            return True
        return False

    _until(exists, f"Temporal's namespace {namespace}")


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise StartFailed(f"{what}: not within {_START_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _postgresql_answers() -> bool:
    try:
        _connected().close()
    except psycopg.OperationalError:
        return False
    return True


def _connected() -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        host=NODE_IP, port=_POSTGRESQL_PORT, user=postgresql.SUPERUSER, dbname="postgres", autocommit=True
    )
