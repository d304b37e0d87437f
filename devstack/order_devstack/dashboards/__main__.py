"""Write the dashboards into the chart: `python -m order_devstack.dashboards [--check]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from order_devstack.dashboards import operator, orders, workers
from order_devstack.dashboards.grafana import text

FOLDER = Path("charts/order-platform/files/dashboards")
DASHBOARDS = (orders.DASHBOARD, operator.DASHBOARD, workers.DASHBOARD)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the stale files, or with `--check` only names them; 1 if a check found any."""
    parser = argparse.ArgumentParser(prog="python -m order_devstack.dashboards", description="Write the dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="checkout to write to (default: current folder)")
    options = parser.parse_args(arguments)
    stale = False
    for dashboard in DASHBOARDS:
        file, wanted = options.root / FOLDER / f"{dashboard.name}.json", text(dashboard, DASHBOARDS)
        if file.exists() and file.read_text() == wanted:
            continue
        stale = True
        if options.check:
            sys.stderr.write(f"{FOLDER / file.name} is stale: run make generate\n")
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted)
        sys.stdout.write(f"{FOLDER / file.name}\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
