"""What a dashboard shows, in the words of this product: Grafana's own form is made of it in `grafana.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """Grafana's names of the units that occur here."""

    NUMBER = "none"
    PER_SECOND = "cps"
    SECONDS = "s"
    SHARE = "percentunit"
    BYTES = "bytes"
    CORES = "suffix: cores"
    MINOR = "suffix: minor units"


class Look(Enum):
    """How a panel draws its series."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBER = "number"
    HEATMAP = "heatmap"


@dataclass(frozen=True)
class Query:
    """In PromQL, with Grafana's variables."""

    expression: str
    legend: str = ""
    """In Grafana's form: `{{label}}`."""


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str
    meaning: str
    """What it shows, and what to make of it."""
    unit: Unit
    queries: Sequence[Query]
    look: Look = Look.LINES
    worry_above: float | None = None
    """From here on the number is red."""
    worry_below: float | None = None
    """Below this the number is red."""
    runbook: str = ""
    """Name of the page that says what to do."""


@dataclass(frozen=True)
class Section:
    """Panels under one headline."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice that the reader has."""

    name: str
    label: str
    metric: str
    """A metric that has the label of this name for each value."""


@dataclass(frozen=True)
class Dashboard:
    """One page of Grafana."""

    name: str
    """Of its file, and the end of its address."""
    title: str
    meaning: str
    variables: Sequence[Variable]
    sections: Sequence[Section]


CLUSTER = Variable("cluster", "Cluster", "orders_operator_build_info")
INSTALLATION = Variable("namespace", "Installation", "orders_operator_build_info")


def number(title: str, meaning: str, unit: Unit, expression: str, **more: object) -> Panel:
    """A single number."""
    return Panel(title, meaning, unit, [Query(expression)], Look.NUMBER, **more)  # type: ignore[arg-type]


def quantile(share: float, histogram: str, selector: str, by: str = "") -> str:
    """Of a histogram, over the interval that the picture's width asks for."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval])))"


def rate(counter: str, selector: str, by: str = "") -> str:
    """Per second, summed up."""
    total = f"sum by ({by}) " if by else "sum"
    return f"{total}(rate({counter}{{{selector}}}[$__rate_interval]))"


def rate_or_zero(counter: str, selector: str, by: str = "") -> str:
    """The same of a counter that is not there until there is something to count."""
    return f"{rate(counter, selector, by)} or on () vector(0)"
