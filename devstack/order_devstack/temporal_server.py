"""The Temporal development server: one process, one SQLite file, optionally the Web UI."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from order_devstack import encryption
from order_devstack.ports import HOST
from order_devstack.probes import listens
from order_devstack.processes import Service

NAMESPACE = "default"
"""Of the orders."""
SHIPPING_NAMESPACE = "shipping"
"""Of shipments that orders ask for by Nexus."""


def temporal(
    program: Path, root: Path, ports: Mapping[str, int], environment: Mapping[str, str], *, ui: bool
) -> Service:
    """Search attributes are not registered here: the operator's preflight does that, as on any server."""
    address = f"{HOST}:{ports['temporal']}"
    data = root / "data" / "temporal.db"
    command = [
        str(program),
        "server",
        "start-dev",
        f"--ip={HOST}",
        f"--port={ports['temporal']}",
        f"--db-filename={data}",
        f"--namespace={SHIPPING_NAMESPACE}",  # created at the start; `default` is in any case
        # With SQLite's defaults it does half as many orders per second (7.8 against 16.7).
        "--sqlite-pragma=journal_mode=WAL",
        "--sqlite-pragma=synchronous=NORMAL",
        "--dynamic-config-value=system.enableActivityEagerExecution=true",
        # Off by default: a burst in one Kubernetes namespace holds up the orders of all others without it.
        "--dynamic-config-value=matching.enableFairness=true",
        # By default a server reports a failing workflow after five attempts, which takes a minute.
        "--dynamic-config-value=system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2",
        *([f"--ui-codec-endpoint={encryption.codec_endpoint(ports)}"] if ui and encryption.is_on(root) else []),
        *([f"--ui-ip={HOST}", f"--ui-port={ports['temporal-ui']}"] if ui else ["--headless"]),
    ]
    return Service(
        command=command,
        environment=environment,
        ports=[ports["temporal"], *([ports["temporal-ui"]] if ui else [])],
        prepare=lambda: data.parent.mkdir(parents=True, exist_ok=True),
        # The client is asked last: each of its starts takes from the server's.
        answers=lambda: listens(ports["temporal"]) and _serves(program, address, environment),
    )


def ensure_nexus_endpoint(temporal: Callable[..., str], name: str, task_queue: str) -> None:
    """Let orders reach the workers of `task_queue` in the shipping namespace. `temporal` runs the client program.
    Idempotent."""
    endpoint = ("operator", "nexus", "endpoint")
    known = json.loads(temporal(*endpoint, "list", "--output=json") or "[]") or []
    if name not in {each["spec"]["name"] for each in known}:
        target = (f"--target-namespace={SHIPPING_NAMESPACE}", f"--target-task-queue={task_queue}")
        temporal(*endpoint, "create", f"--name={name}", *target)


def _serves(program: Path, address: str, environment: Mapping[str, str]) -> bool:
    return all(_has(program, address, environment, each) for each in (NAMESPACE, SHIPPING_NAMESPACE))


def _has(program: Path, address: str, environment: Mapping[str, str], namespace: str) -> bool:
    # The port is open before the namespace exists, and a client that comes in between fails.
    try:
        subprocess.run(
            [program, "operator", "namespace", "describe", "--namespace", namespace, "--address", address],
            env=dict(environment),
            capture_output=True,
            check=True,
            timeout=10,
        )
    except subprocess.SubprocessError:
        return False
    return True
