"""The versions of other people's programs that the platform supports, each tried with a telling choice of tests:
`make test-matrix`, or `python -m order_devstack.matrix NAME`."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from order_devstack import servers
from order_devstack.errors import DevstackError
from order_devstack.servers import Use

_CHECKOUT = Path(__file__).resolve().parents[2]
_INTEGRATION = "tests/integration"
ON_KUBERNETES = tuple(
    f"{_INTEGRATION}/test_{name}.py" for name in ("admission", "charts_on_a_server", "policy_validations", "orders")
)
ON_TEMPORAL = tuple(
    f"{_INTEGRATION}/test_{name}.py" for name in ("orders", "shipping", "prepare_temporal", "worker_versions")
)
ON_A_NODE = ("tests/cluster/test_scaling.py", "-m", "keda")
WITH_HELM = ("tests/contract", "-k", "chart")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One version, and what must pass with it."""

    modules: str
    """As in `$ORDER_DEVSTACK_VERSIONS`."""
    tests: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variable -> program whose path the tests find there."""
    uses: Sequence[Use] = (Use.STACK, Use.TESTS)
    """Programs that the tests need. A build inside of a test would count against the test's time."""


ROWS: Mapping[str, Row] = {
    "kubernetes-1.32": Row(modules="kubernetes-1.32", tests=ON_KUBERNETES),
    "kubernetes-1.37": Row(modules="kubernetes-1.37", tests=ON_KUBERNETES),
    "temporal-1.29": Row(modules="temporal-1.29", tests=ON_TEMPORAL),
    "keda-2.21": Row(modules="", tests=ON_A_NODE, uses=(Use.STACK, Use.TESTS, Use.CLUSTER, Use.KEDA)),
    "helm-3.22": Row(modules="", tests=WITH_HELM, environment={"TEST_HELM": "helm3"}),
}


def main(arguments: list[str] | None = None) -> int:
    """Try these rows, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m order_devstack.matrix", description=__doc__)
    parser.add_argument("row", nargs="?", choices=ROWS, help="all without it")
    row = parser.parse_args(arguments).row
    chosen = [row] if row else list(ROWS)
    failed = [name for name in chosen if not _passes(name, ROWS[name])]
    print(f"{len(chosen) - len(failed)} of {len(chosen)} pass; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _passes(name: str, row: Row) -> bool:
    print(f"=== {name}", flush=True)
    began = time.monotonic()
    environment = {**os.environ, "ORDER_DEVSTACK_VERSIONS": row.modules}
    try:
        os.environ["ORDER_DEVSTACK_VERSIONS"] = row.modules  # for what is obtained here
        servers.obtain(servers.names_for(*row.uses))
        for variable, program in row.environment.items():
            environment[variable] = str(servers.obtain([program])[program])
    except DevstackError as error:
        print(error)
        return False
    command = [sys.executable, "-m", "pytest", "-q", *row.tests]
    passed = subprocess.run(command, cwd=_CHECKOUT, env=environment, check=False).returncode == 0
    print(f"=== {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
