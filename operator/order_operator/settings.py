"""The operator's settings, read once from the environment. Temporal's own come from its SDK's environment variables
(TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_TLS_*, TEMPORAL_API_KEY, profiles)."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from order_workflows.contract import DEFAULT_TASK_QUEUE


class SettingsError(Exception):
    """A variable has a value that cannot be used; the message names it."""


def one_line(wrong: Exception) -> str:
    """What a library says of a mistake, without its line breaks."""
    return " ".join(str(wrong).split()) or type(wrong).__name__


@dataclass(frozen=True)
class Address:
    """Where to listen; an empty variable switches the listener off."""

    host: str
    port: int


@dataclass(frozen=True)
class Settings:
    """What the operator can be told from outside."""

    cluster: str
    """ORDER_OPERATOR_CLUSTER: identity of this installation, the search attribute OrderCluster of its workflows. It
    decides only about workflows without a resource. Empty, the default: the uid of the cluster's namespace
    kube-system, which no other cluster has."""
    task_queue: str
    """ORDER_OPERATOR_TASK_QUEUE: where the workers listen."""
    namespaces: tuple[str, ...]
    """ORDER_OPERATOR_NAMESPACES: comma-separated; empty means all."""
    metrics: Address | None
    """ORDER_OPERATOR_METRICS_ADDRESS: host:port of /metrics. Default 0.0.0.0:9090."""
    probes: Address | None
    """ORDER_OPERATOR_PROBES_ADDRESS: host:port of /healthz and /readyz. Default 0.0.0.0:8080."""
    lease_namespace: str
    """ORDER_OPERATOR_LEASE_NAMESPACE: where the leader's Lease lives. Default `order-platform`."""
    lease_name: str
    """ORDER_OPERATOR_LEASE_NAME: the leader's Lease; releases in one namespace need different ones. Default
    `order-platform-operator`."""
    create_search_attributes: bool
    """ORDER_OPERATOR_CREATE_SEARCH_ATTRIBUTES: whether missing ones are registered. Default true."""
    cancel_orphans: bool
    """ORDER_OPERATOR_CANCEL_ORPHANS: `true` cancels every workflow whose Order is gone, however many and old they are.
    For a person who has looked; default false."""
    paused: bool
    """ORDER_OPERATOR_PAUSED: `true` starts no new order; those that have a workflow go on. Default false."""
    identity: str
    """ORDER_OPERATOR_IDENTITY: name of this process in the Lease, such as the pod's name; a process that comes back
    under the name of a dead leader leads at once. Default: host name and process id."""

    def watches(self, namespace: str) -> bool:
        """Whether resources of this namespace are this operator's."""
        return not self.namespaces or namespace in self.namespaces

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int) -> "Settings":
        """Raises SettingsError naming the variable."""
        names = environment.get("ORDER_OPERATOR_NAMESPACES", "").split(",")
        return cls(
            cluster=environment.get("ORDER_OPERATOR_CLUSTER", "").strip(),
            task_queue=environment.get("ORDER_OPERATOR_TASK_QUEUE") or DEFAULT_TASK_QUEUE,
            namespaces=tuple(name.strip() for name in names if name.strip()),
            metrics=_address(environment, "ORDER_OPERATOR_METRICS_ADDRESS", "0.0.0.0:9090"),
            probes=_address(environment, "ORDER_OPERATOR_PROBES_ADDRESS", "0.0.0.0:8080"),
            lease_namespace=environment.get("ORDER_OPERATOR_LEASE_NAMESPACE") or "order-platform",
            lease_name=environment.get("ORDER_OPERATOR_LEASE_NAME") or "order-platform-operator",
            create_search_attributes=_flag(environment, "ORDER_OPERATOR_CREATE_SEARCH_ATTRIBUTES", default=True),
            cancel_orphans=_flag(environment, "ORDER_OPERATOR_CANCEL_ORPHANS", default=False),
            paused=_flag(environment, "ORDER_OPERATOR_PAUSED", default=False),
            identity=environment.get("ORDER_OPERATOR_IDENTITY") or f"{socket.gethostname()}_{pid}",
        )


def _address(environment: Mapping[str, str], name: str, default: str) -> Address | None:
    text = environment.get(name, default).strip()
    if not text:
        return None
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"{name} is {text!r}: write it as host:port, for example {default}")
    return Address(host=host.strip("[]"), port=int(port))


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name, "").strip().lower()
    if text in {"true", "false"}:
        return text == "true"
    if text:
        raise SettingsError(f"{name} is {text!r}: write true or false")
    return default
