"""Write the generated pages of the documentation, and schema and README of the charts' values:
`python -m order_devstack.reference [--check]`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from order_devstack.generated_files import write_or_check
from order_devstack.reference import chart_readme, chart_schema, conditions, kinds, metrics, settings, values
from order_devstack.reference.chart_values import CHARTS

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/conditions.md": conditions.text,
    "docs/reference/kinds.md": kinds.text,
    "docs/reference/metrics.md": metrics.text,
    "docs/reference/values.md": values.text,
    "docs/settings.md": settings.text,
    **{
        f"charts/{chart.name}/{file}": partial(written, chart)
        for chart in sorted(CHARTS.iterdir())
        for file, written in (("values.schema.json", chart_schema.text), ("README.md", chart_readme.text))
    },
}
"""File -> what it should hold."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the stale pages, or with `--check` only names them; 1 if a check found any."""
    files = ((name, text()) for name, text in PAGES.items())
    return write_or_check("order_devstack.reference", "Write the reference.", files, arguments)


if __name__ == "__main__":
    sys.exit(main())
