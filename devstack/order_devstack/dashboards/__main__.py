"""Write the dashboards into the chart: `python -m order_devstack.dashboards [--check]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from order_devstack.dashboards import operator, orders, workers
from order_devstack.dashboards.grafana import text
from order_devstack.generated_files import write_or_check

FOLDER = Path("charts/order-platform/files/dashboards")
DASHBOARDS = (orders.DASHBOARD, operator.DASHBOARD, workers.DASHBOARD)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the stale files, or with `--check` only names them; 1 if a check found any."""
    files = ((f"{FOLDER / dashboard.name}.json", text(dashboard, DASHBOARDS)) for dashboard in DASHBOARDS)
    return write_or_check("order_devstack.dashboards", "Write the dashboards.", files, arguments)


if __name__ == "__main__":
    sys.exit(main())
