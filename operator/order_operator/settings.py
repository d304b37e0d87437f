"""The operator's settings, read once from the environment. Temporal's own come from its SDK's environment variables
(TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_TLS_*, TEMPORAL_API_KEY, profiles)."""

import os
import socket
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import SettingsConfigDict

from order_process.settings import Address, Flag, Listen, ProgramSettings
from order_workflows.contract import DEFAULT_TASK_QUEUE


def one_line(wrong: Exception) -> str:
    """What a library says of a mistake, without its line breaks."""
    return " ".join(str(wrong).split()) or type(wrong).__name__


def _names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _this_process() -> str:
    return f"{socket.gethostname()}_{os.getpid()}"


class Settings(ProgramSettings):
    """What the operator can be told from outside."""

    model_config = SettingsConfigDict(env_prefix="ORDER_OPERATOR_", str_strip_whitespace=True)
    title = "The operator"

    namespaces: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (), description="Namespaces to watch, with commas.", json_schema_extra={"default": "all"}
    )
    cluster: str = Field(
        "",
        description="Identity of this installation in Temporal, the search attribute OrderCluster of its workflows. It "
        "decides only about workflows without a resource.",
        json_schema_extra={"default": "the uid of the namespace kube-system"},
    )
    task_queue: str = Field(DEFAULT_TASK_QUEUE, description="Temporal task queue of the workers.")
    share_task_queue: Flag = Field(
        False,
        description="Start workflows on the task queue also where another installation has some and this one has none. "
        "For installations that have workers, ledger and providers in common, and for one that follows another.",
    )
    metrics: Listen = Field(
        Address("0.0.0.0", 9090),  # noqa: S104
        validation_alias="ORDER_OPERATOR_METRICS_ADDRESS",
        description="Where /metrics is served; empty: nowhere.",
    )
    probes: Listen = Field(
        Address("0.0.0.0", 8080),  # noqa: S104
        validation_alias="ORDER_OPERATOR_PROBES_ADDRESS",
        description="Where /livez and /readyz are served; empty: nowhere.",
    )
    lease_namespace: str = Field("order-platform", description="Namespace of the leader's Lease.")
    lease_name: str = Field(
        "order-platform-operator",
        description="Name of the leader's Lease. Releases in one namespace need different ones.",
    )
    identity: str = Field(
        default_factory=_this_process,
        description="Name of this process in the Lease, such as the pod's. A process that comes back under the name of "
        "a dead leader leads at once.",
        json_schema_extra={"default": "host name and process id"},
    )
    temporal_ui: str = Field(
        "",
        pattern=r"^(|https?://\S+)$",
        description="Address of Temporal's Web UI, such as https://temporal.example.com, for orders' status; "
        "empty: there is none.",
    )
    create_search_attributes: Flag = Field(
        True, description="Whether search attributes that Temporal lacks are registered there."
    )
    paused: Flag = Field(False, description="Start no new order. Those that have a workflow go on.")
    require_proof: Flag = Field(
        False,
        validation_alias="ORDER_OPERATOR_APPROVALS_REQUIRE_PROOF",
        description="Whether a decision by the resource counts only where the cluster's admission policies prove the "
        "decider's name.",
    )
    cancel_orphans: Flag = Field(
        False,
        description="Cancel every workflow whose Order or StockItem is gone, however many there are. For a person who "
        "has made sure that this is the right cluster and Temporal namespace.",
    )

    def watches(self, namespace: str) -> bool:
        """Whether resources of this namespace are this operator's."""
        return not self.namespaces or namespace in self.namespaces
