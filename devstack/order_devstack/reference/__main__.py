"""Write the generated pages of the documentation, and schema and README of the charts' values:
`python -m order_devstack.reference [--check]`."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

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
    parser = argparse.ArgumentParser(prog="python -m order_devstack.reference", description="Write the reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="checkout to write to (default: current folder)")
    options = parser.parse_args(arguments)
    stale = False
    for name, text in PAGES.items():
        page, wanted = options.root / name, text()
        if page.exists() and page.read_text() == wanted:
            continue
        stale = True
        if options.check:
            sys.stderr.write(f"{name} is stale: run make generate\n")
            continue
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(wanted)
        sys.stdout.write(f"{name}\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
