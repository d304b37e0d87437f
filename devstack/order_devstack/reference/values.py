"""The reference of the charts' values: the comments in their values.yaml."""

import json
from collections.abc import Iterator
from pathlib import Path

from order_devstack.reference.chart_values import CHARTS, every, values_of
from order_devstack.reference.markdown import page, plain, table


def text() -> str:
    """The page as it should be."""
    return page("Values of the charts", _lines())


def rows(chart: Path) -> Iterator[tuple[str, str, str]]:
    """Value, default, meaning: of each value, and of each block that has words of its own."""
    for value in every(values_of(chart)):
        if not value.children:
            yield f"`{value.path}`", f"`{json.dumps(value.default, ensure_ascii=False)}`", plain(value.meaning)
        elif value.meaning:
            yield f"`{value.path}`", "", plain(value.meaning)


def _lines() -> Iterator[str]:
    yield "`helm show values CHART` prints the same. A value that the schema does not know is refused by name. A value"
    yield "without words of its own belongs to what stands above it.\n"
    for chart in sorted(CHARTS.iterdir()):
        yield f"## {chart.name}\n"
        yield from table(("value", "default", "meaning"), rows(chart))
