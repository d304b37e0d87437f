"""The reference of the metrics of both programs, from their definitions."""

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from temporalio.common import MetricAttributes, MetricMeter

from order_devstack.reference.markdown import page, plain, table
from order_operator import figures
from order_operator import metrics as operator_metrics
from order_worker import metrics as worker_metrics


def text() -> str:
    """The page as it should be."""
    return page("Metrics", _lines())


def _lines() -> Iterator[str]:
    yield "Both programs serve `/metrics` for Prometheus: the operator at `ORDER_OPERATOR_METRICS_ADDRESS`, a worker at"
    yield "`ORDER_WORKER_METRICS_ADDRESS`. No label carries an order, a customer or a SKU. Names are those of a query."
    yield "A histogram has `_bucket`, `_sum` and `_count` behind its name.\n"
    yield "## Of the operator\n"
    yield from _table(_of_the_operator())
    yield "## Of a worker\n"
    yield "A worker also serves the metrics of Temporal's SDK, which begin with `temporal_`.\n"
    yield from _table(_of_the_worker())


@dataclass
class Definition:
    """One metric."""

    name: str
    kind: str
    meaning: str
    labels: list[str] = field(default_factory=list)


def _table(definitions: list[Definition]) -> Iterator[str]:
    rows = (
        (
            f"`{each.name}`",
            each.kind,
            _unit(each),
            ", ".join(f"`{label}`" for label in each.labels),
            plain(each.meaning),
        )
        for each in sorted(definitions, key=lambda each: each.name)
    )
    yield from table(("metric", "kind", "unit", "labels", "meaning"), rows)


_UNITS = {
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_minor_total": "minor units of the currency",
    "_cpu_seconds_total": "seconds of CPU",
}


def _unit(metric: Definition) -> str:
    """The suffix of the name says it; without one it is a number of what the name says."""
    return next((unit for suffix, unit in _UNITS.items() if metric.name.endswith(suffix)), "number")


def _of_the_operator() -> list[Definition]:
    families = figures.Figures(figures.nothing()).collect()
    found = [Definition(each.name, each.type, each.documentation, list(each._labelnames)) for each in families]
    for metric in vars(operator_metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for family in metric.describe():
                name = f"{family.name}_total" if family.type == "counter" else family.name
                found.append(Definition(name, family.type, family.documentation, list(metric._labelnames)))
    return found


_SAMPLES = {str: "anything", int: 1, bool: True}
"""What a metric is recorded with, by the type that it asks for: the SDK learns of a label when it is recorded."""


def _of_the_worker() -> list[Definition]:
    meter = _Meter()
    metrics = worker_metrics.Metrics(meter)
    for name, record in inspect.getmembers(metrics, inspect.ismethod):
        if not name.startswith("_"):
            recorded = record(*(_SAMPLES[item.annotation] for item in inspect.signature(record).parameters.values()))
            if isinstance(recorded, AbstractContextManager):
                with recorded:
                    pass
    return meter.definitions


class _Instrument:
    """Notes the labels of what is recorded."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition

    def record(self, value: float, labels: MetricAttributes | None = None) -> None:  # noqa: ARG002 - as in the SDK
        self._definition.labels = sorted(labels or ())

    add = set = record


class _Meter(MetricMeter):
    """Notes what is defined, and names it as the worker's endpoint does."""

    def __init__(self) -> None:
        self.definitions: list[Definition] = []

    def _define(self, name: str, kind: str, description: str | None) -> Any:
        definition = Definition(name, kind, description or "")
        self.definitions.append(definition)
        return _Instrument(definition)

    def create_counter(self, name: str, description: str | None = None, unit: str | None = None) -> Any:  # noqa: ARG002
        return self._define(f"{name}_total", "counter", description)

    def create_gauge(self, name: str, description: str | None = None, unit: str | None = None) -> Any:  # noqa: ARG002
        return self._define(name, "gauge", description)

    def create_histogram_float(self, name: str, description: str | None = None, unit: str | None = None) -> Any:
        return self._define(f"{name}_{unit}" if unit else name, "histogram", description)

    create_histogram = create_histogram_timedelta = create_gauge_float = create_gauge

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricMeter:  # noqa: ARG002
        return self
