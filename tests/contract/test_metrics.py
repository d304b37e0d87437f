"""Metrics as Prometheus reads them: names that tell the unit, and no series per order."""

import inspect
import re
import socket
import urllib.request
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from order_operator import metrics as operator_metrics
from order_operator.figures import Figures, nothing
from order_worker import metrics as worker_metrics

UNITS = ("_seconds", "_bytes", "_ratio", "_info")
# `order_namespace` is none: its last word decides. Whatever tells one order from the next grows without end.
IDENTIFYING = re.compile(r"(^|_)(order|customer|email|sku|article|line|uid|id|name|key|workflow|run)$")
OF_THE_BUILD = {"build_id"}
"""Grows with releases."""


@dataclass(frozen=True)
class Published:
    """One metric of an endpoint."""

    name: str
    """As in a query, without the suffixes of a histogram."""
    kind: str
    documentation: str
    labels: frozenset[str]


def published(family: Metric, labels: Iterable[str]) -> Published:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return Published(name, family.type, family.documentation, frozenset(labels))


def of_the_operator() -> list[Published]:
    metrics = [item for item in vars(operator_metrics).values() if isinstance(item, MetricWrapperBase)]
    return [
        *(published(family, family._labelnames) for family in Figures(nothing()).collect()),
        *(published(family, metric._labelnames) for metric in metrics for family in metric.describe()),
    ]


SAMPLES = {str: "anything", int: 1, bool: True}
"""What a metric is recorded with, by the type that it asks for."""


def of_the_worker() -> list[Published]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    runtime = worker_metrics.runtime(address)  # the endpoint lives as long as this
    metrics = worker_metrics.Metrics(runtime.metric_meter)
    for name, record in inspect.getmembers(metrics, inspect.ismethod):
        if not name.startswith("_"):
            recorded = record(*(SAMPLES[item.annotation] for item in inspect.signature(record).parameters.values()))
            if isinstance(recorded, AbstractContextManager):
                with recorded:
                    pass
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    found = [
        published(family, {label for sample in family.samples for label in sample.labels} - {"le"})
        for family in families
        if family.name.startswith("orders_")
    ]
    assert len(found) == len(vars(metrics)), "a metric was not recorded"
    return found


@pytest.fixture(params=[of_the_operator, of_the_worker], ids=["operator", "worker"])
def metrics(request: pytest.FixtureRequest) -> list[Published]:
    """All metrics of one program of ours, without those of its libraries."""
    found: list[Published] = request.param()
    assert found
    return found


def test_every_name_says_whose_it_is(metrics: list[Published]) -> None:
    assert [metric.name for metric in metrics if not metric.name.startswith("orders_")] == []


def test_every_name_ends_in_a_unit_unless_a_gauge_says_what_it_counts(metrics: list[Published]) -> None:
    unclear = [
        metric.name
        for metric in metrics
        if not metric.name.endswith("_total" if metric.kind == "counter" else UNITS)
        and not (metric.kind == "gauge" and metric.documentation)
    ]

    assert unclear == []


def test_no_label_grows_with_the_number_of_orders(metrics: list[Published]) -> None:
    labels = {(metric.name, label) for metric in metrics for label in metric.labels if label not in OF_THE_BUILD}
    identifying = {(name, label) for name, label in labels if IDENTIFYING.search(label)}

    assert identifying == set()
