"""The Temporal development server: one process, one SQLite file, optionally the Web UI."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from order_devstack.ports import HOST
from order_devstack.processes import Service

NAMESPACE = "default"


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
        # With SQLite's defaults it does half as many orders per second (7.8 against 16.7).
        "--sqlite-pragma=journal_mode=WAL",
        "--sqlite-pragma=synchronous=NORMAL",
        "--dynamic-config-value=system.enableActivityEagerExecution=true",
        *([f"--ui-ip={HOST}", f"--ui-port={ports['temporal-ui']}"] if ui else ["--headless"]),
    ]
    return Service(
        command=command,
        environment=environment,
        ports=[ports["temporal"], *([ports["temporal-ui"]] if ui else [])],
        prepare=lambda: data.parent.mkdir(parents=True, exist_ok=True),
        answers=lambda: _serves(program, address, environment),
    )


def _serves(program: Path, address: str, environment: Mapping[str, str]) -> bool:
    # The port is open before the namespace exists, and a client that comes in between fails.
    try:
        subprocess.run(
            [program, "operator", "namespace", "describe", "--namespace", NAMESPACE, "--address", address],
            env=dict(environment),
            capture_output=True,
            check=True,
            timeout=10,
        )
    except subprocess.SubprocessError:
        return False
    return True
