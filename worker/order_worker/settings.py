"""The worker's settings, read once from the environment. The connection to Temporal is not among them: the SDK reads
its own variables (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_TLS_…, TEMPORAL_API_KEY, TEMPORAL_PROFILE)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from order_domain.pipeline import StepName
from order_domain.policy import ShippingPolicy
from order_workflows.contract import DEFAULT_TASK_QUEUE
from order_workflows.pipeline import STEP_OF_ACTIVITY


class SettingsError(Exception):
    """A variable has a value that cannot be used; the message names it."""


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written in the environment."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


SIMULATED = "simulated"
"""Name of the provider of every port that touches nothing outside."""

METRICS = Address("0.0.0.0", 9464)  # noqa: S104
"""The port of OpenTelemetry's Prometheus exporters."""

HEALTH = Address("0.0.0.0", 8081)  # noqa: S104


class Role(StrEnum):
    """What a worker does for those who use its task queue."""

    ORDERS = "orders"
    """Whole orders: their workflow, and every activity."""
    SHIPPING = "shipping"
    """Shipments of single lines: their workflow, what it calls, and the Nexus service in front of it."""


BOTH = frozenset(Role)


@dataclass(frozen=True)
class Settings:
    """Each field is the variable ORDER_WORKER_<FIELD>, save for the ledger's, which is ORDER_LEDGER_URL."""

    roles: frozenset[Role] = BOTH
    task_queue: str = DEFAULT_TASK_QUEUE
    """Without the role `orders` the default is the queue that classes send shipments to unless they say otherwise."""
    ledger_url: str = "sqlite:///order-ledger.db"
    """`sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user@host/database`. May hold a password:
    not for logs."""
    payment_provider: str = SIMULATED
    """Name in `order_worker.providers.registry`, as is the next. Another one than the simulated needs a ledger on
    PostgreSQL."""
    mail_provider: str = SIMULATED
    provider_store: Path | None = Path("order-providers.db")
    """The simulated providers' own SQLite file. None, the default with a ledger on PostgreSQL: a schema of their own in
    its database, so that they remember for as long as the ledger does."""
    metrics_address: Address | None = METRICS
    """None, from an empty value: no endpoint."""
    health_address: Address | None = HEALTH
    graceful_shutdown: timedelta = timedelta(seconds=25)
    """How long activities may go on after SIGTERM; below the 30 s after which Kubernetes kills a pod by default."""
    max_concurrent_activities: int = 100
    """Remote and local ones alike, of each kind so many. They wait for an outside company or for one of the ledger's
    threads, and use no CPU meanwhile. More than `max_concurrent_workflow_tasks`, so that a workflow task which has been
    begun never waits for a slot of its local activity."""
    max_concurrent_workflow_tasks: int = 20
    """The CPU and the ledger carry out a few at a time. What is taken beyond that only waits, and has to be done within
    ten seconds, while nothing times out in the queue. Orders were completed as fast with 20 as with the SDK's 100."""
    simulation: bool = False
    """`allowed` or `refused`: whether orders of a class that asks for simulated faults get them, or end as Invalid."""
    simulate_bug: StepName | None = None
    """The workflow code of this worker breaks when this step calls its activity. Only where simulation is allowed."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        default = cls()
        roles = _roles(environment, default.roles)
        task_queue = default.task_queue if Role.ORDERS in roles else ShippingPolicy().task_queue
        simulation = _allowed(environment, "ORDER_WORKER_SIMULATION", default.simulation)
        ledger_url = _ledger_url(environment, default.ledger_url)
        in_one_file = make_url(ledger_url).drivername == "sqlite"
        payment_provider = environment.get("ORDER_WORKER_PAYMENT_PROVIDER") or default.payment_provider
        if Role.ORDERS in roles and payment_provider != SIMULATED and in_one_file:
            raise SettingsError(
                f"ORDER_WORKER_PAYMENT_PROVIDER={payment_provider} moves money, and ORDER_LEDGER_URL is a SQLite file: "
                "with it the memory of what was charged is lost; set ORDER_LEDGER_URL to postgresql://…"
            )
        provider_store = environment.get("ORDER_WORKER_PROVIDER_STORE")
        return cls(
            roles=roles,
            task_queue=environment.get("ORDER_WORKER_TASK_QUEUE") or task_queue,
            ledger_url=ledger_url,
            payment_provider=payment_provider,
            mail_provider=environment.get("ORDER_WORKER_MAIL_PROVIDER") or default.mail_provider,
            provider_store=Path(provider_store) if provider_store else default.provider_store if in_one_file else None,
            metrics_address=_address(environment, "ORDER_WORKER_METRICS_ADDRESS", default.metrics_address),
            health_address=_address(environment, "ORDER_WORKER_HEALTH_ADDRESS", default.health_address),
            graceful_shutdown=timedelta(
                seconds=_number(
                    environment,
                    "ORDER_WORKER_GRACEFUL_SHUTDOWN_SECONDS",
                    int(default.graceful_shutdown.total_seconds()),
                    least=0,
                )
            ),
            max_concurrent_activities=_number(
                environment,
                "ORDER_WORKER_MAX_CONCURRENT_ACTIVITIES",
                default.max_concurrent_activities,
                least=1,
            ),
            max_concurrent_workflow_tasks=_number(
                environment,
                "ORDER_WORKER_MAX_CONCURRENT_WORKFLOW_TASKS",
                default.max_concurrent_workflow_tasks,
                least=2,  # the SDK's own limit: one for orders it knows, one for new ones
            ),
            simulation=simulation,
            simulate_bug=_bug(environment, simulation=simulation),
        )


def _roles(environment: Mapping[str, str], default: frozenset[Role]) -> frozenset[Role]:
    value = environment.get("ORDER_WORKER_ROLES")
    if not value:
        return default
    try:
        return frozenset(Role(name.strip()) for name in value.split(","))
    except ValueError:
        known = ", ".join(Role)
        raise SettingsError(f"ORDER_WORKER_ROLES must be one or more of {known}, with commas, not {value!r}") from None


def _allowed(environment: Mapping[str, str], name: str, default: bool) -> bool:
    value = environment.get(name)
    if not value:
        return default
    if value not in ("allowed", "refused"):
        raise SettingsError(f"{name} must be allowed or refused, not {value!r}")
    return value == "allowed"


def _bug(environment: Mapping[str, str], *, simulation: bool) -> StepName | None:
    value = environment.get("ORDER_WORKER_SIMULATE_BUG")
    if not value:
        return None
    if not simulation:
        raise SettingsError("ORDER_WORKER_SIMULATE_BUG needs ORDER_WORKER_SIMULATION=allowed")
    steps = list(dict.fromkeys(STEP_OF_ACTIVITY.values()))
    if value not in steps:
        raise SettingsError(f"ORDER_WORKER_SIMULATE_BUG must be one of {', '.join(steps)}, not {value!r}")
    return StepName(value)


def _ledger_url(environment: Mapping[str, str], default: str) -> str:
    value = environment.get("ORDER_LEDGER_URL") or default
    wanted = "ORDER_LEDGER_URL must be sqlite:///<file> or postgresql://<user>@<host>/<database>"
    scheme, separator, _ = value.partition("://")
    # The value is not repeated, here and below: it may hold a password.
    if not separator:
        raise SettingsError(wanted)
    try:
        # SQLAlchemy reads no list of hosts.
        database = conninfo_to_dict(value).get("dbname") if scheme == "postgresql" else make_url(value).database
    except (ArgumentError, ProgrammingError):
        raise SettingsError(wanted) from None
    if scheme not in ("sqlite", "postgresql") or not database or database == ":memory:":
        raise SettingsError(f"{wanted}, not {scheme}://…")
    return value


def _address(environment: Mapping[str, str], name: str, default: Address | None) -> Address | None:
    value = environment.get(name)
    if value is None:
        return default
    if not value:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(f"{name} must be <host>:<port> or empty, not {value!r}")
    return Address(host.strip("[]"), int(port))


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    value = environment.get(name)
    if not value:
        return default
    if not value.isdecimal() or int(value) < least:
        raise SettingsError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)
