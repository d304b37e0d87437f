"""The worker's settings, read once from the environment. The connection to Temporal is not among them: the SDK reads
its own variables (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_TLS_…, TEMPORAL_API_KEY, TEMPORAL_PROFILE)."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AliasChoices, BeforeValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from order_domain.pipeline import StepName
from order_domain.policy import ShippingPolicy
from order_process.secret_file import text_of
from order_process.settings import Address, Flag, Listen, ProgramSettings, Unrepeated, at_least
from order_workflows.contract import DEFAULT_TASK_QUEUE
from order_workflows.pipeline import STEP_OF_ACTIVITY

SIMULATED = "simulated"
"""Name of the provider of every port that touches nothing outside."""
LEDGER_URL_FILE = "ORDER_LEDGER_URL_FILE"


class Role(StrEnum):
    """What a worker does for those who use its task queue."""

    ORDERS = "orders"
    """Whole orders: their workflow, and every activity."""
    SHIPPING = "shipping"
    """Shipments of single lines: their workflow, what it calls, and the Nexus service in front of it."""


BOTH = frozenset(Role)

STEPS_WITH_ACTIVITY = tuple(dict.fromkeys(STEP_OF_ACTIVITY.values()))


def _roles(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return frozenset(Role(name.strip()) for name in value.split(","))
    except ValueError:
        raise ValueError(f"write one or more of {', '.join(Role)}, with commas") from None


def _queue(data: Mapping[str, Any]) -> str:
    return DEFAULT_TASK_QUEUE if Role.ORDERS in data.get("roles", BOTH) else ShippingPolicy().task_queue


def _ledger_url(value: str) -> str:
    wanted = "write sqlite:///<file> or postgresql://<user>@<host>/<database>"
    scheme, separator, _ = value.partition("://")
    if not separator:
        raise ValueError(wanted)
    try:
        # SQLAlchemy reads no list of hosts.
        database = conninfo_to_dict(value).get("dbname") if scheme == "postgresql" else make_url(value).database
    except (ArgumentError, ProgrammingError):
        raise ValueError(wanted) from None
    if scheme not in ("sqlite", "postgresql") or not database or database == ":memory:":
        raise ValueError(f"{wanted}, not {scheme}://…")
    return value


IN_THE_FILE = "see ORDER_LEDGER_URL_FILE"
"""What the chart sets ORDER_LEDGER_URL to beside the file. A worker of an earlier release does not know the file, and
refuses this as no URL, instead of keeping its books in a file of its own."""


def _store(data: Mapping[str, Any]) -> Path | None:
    return Path("order-providers.db") if str(data.get("ledger_url", "")).startswith("sqlite:") else None


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.isdecimal():
        raise ValueError("write a whole number of seconds")
    return timedelta(seconds=int(value))


def _words_of_earlier_releases(value: object) -> object:
    return {"allowed": True, "refused": False}.get(value, value) if isinstance(value, str) else value


def _step(value: object) -> object:
    if isinstance(value, str) and value not in STEPS_WITH_ACTIVITY:
        raise ValueError(f"write one of {', '.join(STEPS_WITH_ACTIVITY)}")
    return value


class Settings(ProgramSettings):
    """What every worker can be told from outside. Providers have settings of their own."""

    model_config = SettingsConfigDict(env_prefix="ORDER_WORKER_")
    title = "The worker"

    roles: Annotated[frozenset[Role], BeforeValidator(_roles)] = Field(
        BOTH,
        description=f"What the worker does: {' or '.join(Role)}, or both with a comma.",
        json_schema_extra={"default": "both"},
    )
    task_queue: str = Field(
        default_factory=_queue,
        description="Temporal task queue that it polls.",
        json_schema_extra={
            "default": f"{DEFAULT_TASK_QUEUE}; with the role shipping alone {ShippingPolicy().task_queue}"
        },
    )
    ledger_url: Annotated[Unrepeated, BeforeValidator(_ledger_url)] = Field(
        "sqlite:///order-ledger.db",
        validation_alias="ORDER_LEDGER_URL",
        description="Where the ledger is: sqlite:///<file> (relative) or sqlite:////<file>, or "
        "postgresql://<user>@<host>/<database>. May hold a password.",
    )
    ledger_url_file: Path | None = Field(
        None,
        validation_alias=LEDGER_URL_FILE,
        description="File with that URL, in place of the variable. Read again for every new connection, so that "
        "another password counts without a restart.",
    )
    payment_provider: str = Field(
        SIMULATED, description="Payment provider: simulated or stripe. stripe needs a ledger on PostgreSQL."
    )
    mail_provider: str = Field(SIMULATED, description="Mail provider: simulated or smtp.")
    provider_store: Path | None = Field(
        default_factory=_store,
        description="File of the simulated providers, in which they remember what they did.",
        json_schema_extra={
            "default": "order-providers.db; with a ledger on PostgreSQL a schema of its database, simulated_providers"
        },
    )
    metrics_address: Listen = Field(
        Address("0.0.0.0", 9464),  # noqa: S104 - the port of OpenTelemetry's Prometheus exporters
        description="Where /metrics is served; empty: nowhere.",
    )
    probes_address: Listen = Field(
        Address("0.0.0.0", 8081),  # noqa: S104
        validation_alias=AliasChoices("ORDER_WORKER_PROBES_ADDRESS", "ORDER_WORKER_HEALTH_ADDRESS"),
        description="Where /livez and /readyz are served; empty: nowhere.",
    )
    graceful_shutdown: Annotated[timedelta, BeforeValidator(_seconds)] = Field(
        timedelta(seconds=25),
        validation_alias="ORDER_WORKER_GRACEFUL_SHUTDOWN_SECONDS",
        description="How long activities may go on after SIGTERM. Keep it below the grace period of the pod, which is "
        "30 s where nothing is said.",
        json_schema_extra={"default": "25"},
    )
    max_concurrent_activities: Annotated[int, at_least(1)] = Field(
        100, description="How many activities run at a time, and as many local ones."
    )
    """They wait for an outside company or for one of the ledger's threads, and use no CPU meanwhile. More than
    `max_concurrent_workflow_tasks`, so that a workflow task which has been begun never waits for a slot of its local
    activity."""
    max_concurrent_workflow_tasks: Annotated[int, at_least(2)] = Field(
        30,
        description="Slots for workflow tasks, a third of them for requests that wait for one: two thirds can be held "
        "by long steps, and orders begin all the same. At least 2.",
    )
    """The CPU and the ledger carry out a few at a time. What is taken beyond that only waits, and has to be done within
    ten seconds, while nothing times out in the queue. Orders were completed as fast with 20 as with the SDK's 100. The
    SDK's own least is two: one for orders it knows, one for new ones."""
    deployment_name: str | None = Field(
        None,
        validation_alias="TEMPORAL_DEPLOYMENT_NAME",
        description="Name of the worker deployment in Temporal, for a worker that tells its version. Needs "
        "TEMPORAL_WORKER_BUILD_ID. Temporal's worker controller sets both.",
    )
    deployment_build_id: str | None = Field(
        None,
        validation_alias="TEMPORAL_WORKER_BUILD_ID",
        description="Version of the worker in that deployment. Orders end on the version that they began on.",
    )
    simulation: Annotated[Flag, BeforeValidator(_words_of_earlier_releases)] = Field(
        False,
        description="Whether orders of a class that asks for simulated faults get them. Otherwise they end as Invalid.",
    )
    simulate_bug: Annotated[StepName | None, BeforeValidator(_step)] = Field(
        None,
        description="Step at which the workflow code of this worker breaks. Only with ORDER_WORKER_SIMULATION=true.",
    )

    @property
    def ledger_url_now(self) -> Callable[[], str] | None:
        """Gives the URL as its file has it at the moment; None where it cannot change."""
        return None if self.ledger_url_file is None else partial(text_of, LEDGER_URL_FILE, self.ledger_url_file)

    @property
    def versioned(self) -> bool:
        """Whether the worker tells Temporal its version."""
        return self.deployment_name is not None

    @model_validator(mode="before")
    @classmethod
    def _read_the_url(cls, data: Any) -> Any:
        file = data.get(LEDGER_URL_FILE, data.get("ledger_url_file"))
        if file is None:
            return data
        others = {name: value for name, value in data.items() if name != "ORDER_LEDGER_URL" or value != IN_THE_FILE}
        if "ORDER_LEDGER_URL" in others or "ledger_url" in others:
            raise ValueError(f"ORDER_LEDGER_URL and {LEDGER_URL_FILE} are both set: keep one of them")
        return {**others, "ledger_url": text_of(LEDGER_URL_FILE, Path(file))}

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.deployment_name is None) != (self.deployment_build_id is None):
            raise ValueError("TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID belong together")
        if self.simulate_bug is not None and not self.simulation:
            raise ValueError("ORDER_WORKER_SIMULATE_BUG needs ORDER_WORKER_SIMULATION=true")
        if Role.ORDERS in self.roles and self.payment_provider != SIMULATED and self.ledger_url.startswith("sqlite:"):
            raise ValueError(
                f"ORDER_WORKER_PAYMENT_PROVIDER is {self.payment_provider!r}, and ORDER_LEDGER_URL is a SQLite file: "
                "if the file is lost, nothing remembers what was charged; set ORDER_LEDGER_URL to postgresql://…"
            )
        return self
