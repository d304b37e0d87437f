"""Metrics that are counted when they are asked for, from what the leading process knows then. No other has them."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from order_domain.status import OrderStatus

PENDING = "Pending"
"""Stands for the OrderStatus of an order that has none yet."""
OPEN_STATUSES = (PENDING, *(status.value for status in OrderStatus if not status.terminal))
STATUSES = (PENDING, *(status.value for status in OrderStatus))
MAX_FILLED_NAMESPACES = 50
"""Of more namespaces than this only those with orders get their series: thousands of zeros are no news."""


class OrderFigure(NamedTuple):
    """One order, at one moment."""

    namespace: str
    status: str
    """Its OrderStatus."""
    age: float | None = None
    """Seconds since it came to where it stands; None of one that has ended."""
    overdue: bool = False
    """What it waits for was due."""
    suspended: bool = False
    """It is held before its next step."""
    mismatched: bool = False
    """Its workflow has published another OrderStatus than the resource shows, for longer than that takes."""


class Sources(NamedTuple):
    """Where the figures come from; all are quick and wait for nothing."""

    orders: Callable[[], Iterable[OrderFigure]]
    below_minimum: Callable[[], Mapping[str, int]]
    """Articles with fewer free pieces than their minimum, by namespace."""
    longest_running: Mapping[str, Callable[[], float]]
    """Seconds, by kind of resource."""
    watch_ages: Callable[[], Mapping[str, float]]
    """Seconds since each watch was answered."""
    namespaces: Iterable[str] = ()
    """Those that are watched, where they are named."""


def nothing() -> Sources:
    """Of an operator that knows of nothing."""
    return Sources(orders=tuple, below_minimum=dict, longest_running={}, watch_ages=dict)


class Figures(Collector):
    """Prometheus' view of `Sources`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every metric, with a zero where there is nothing."""
        orders = _Tally()
        for order in self._sources.orders():
            orders.add(order)
        below = self._sources.below_minimum()
        namespaces = {*self._sources.namespaces, *(namespace for namespace, _ in orders.current), *below}
        filled = sorted(namespaces) if len(namespaces) <= MAX_FILLED_NAMESPACES else []
        yield from orders.families(filled)
        yield _family(
            "orders_inventory_below_minimum",
            "StockItems with fewer free pieces than their minimum, by namespace.",
            ["order_namespace"],
            {(namespace,): below.get(namespace, 0) for namespace in (filled or below)},
        )
        yield _family(
            "orders_operator_longest_running_reconcile_seconds",
            "Age of the oldest reconciliation under way, by kind; 0 while there is none.",
            ["handler"],
            {(handler,): seconds() for handler, seconds in self._sources.longest_running.items()},
        )
        yield _family(
            "orders_operator_watch_age_seconds",
            "Time since the API server answered a watch last, by its path. One that is not answered for 90 s is deaf.",
            ["watch"],
            {(watch,): age for watch, age in self._sources.watch_ages().items()},
        )


class _Tally:
    """Of orders, one after the other: there may be a hundred thousand."""

    def __init__(self) -> None:
        self.current: Counter[tuple[str, str]] = Counter()
        self._oldest: dict[tuple[str, str], float] = {}
        self._overdue: Counter[tuple[str, str]] = Counter()
        self._suspended: Counter[str] = Counter()
        self._mismatched: Counter[str] = Counter()

    def add(self, order: OrderFigure) -> None:
        """Count one."""
        key = (order.namespace, order.status)
        self.current[key] += 1
        if order.age is not None:
            self._oldest[key] = max(order.age, self._oldest.get(key, 0.0))
            self._overdue[key] += order.overdue
            self._suspended[order.namespace] += order.suspended
            self._mismatched[order.namespace] += order.mismatched

    def families(self, filled: Sequence[str]) -> Iterator[GaugeMetricFamily]:
        """Namespaces that are `filled` have a sample for each status."""
        labels = ["order_namespace", "status"]
        yield _family(
            "orders_current", "Orders by namespace and OrderStatus.", labels, _filled(self.current, filled, STATUSES)
        )
        yield _family(
            "orders_oldest_age_seconds",
            "How long the order that has stood longest at an OrderStatus has stood there; 0 while none does.",
            labels,
            _filled(self._oldest, filled, OPEN_STATUSES),
        )
        yield _family(
            "orders_overdue",
            "Orders that still wait although what they wait for was due, by OrderStatus: no worker ends their wait.",
            labels,
            _filled(self._overdue, filled, OPEN_STATUSES),
        )
        yield _family(
            "orders_suspended",
            "Orders that somebody holds before their next step, at whatever OrderStatus, by namespace.",
            labels[:1],
            {(namespace,): self._suspended[namespace] for namespace in (filled or self._suspended)},
        )
        yield _family(
            "orders_search_attribute_mismatch",
            "Orders whose status has shown for a minute another OrderStatus than their workflow published.",
            labels[:1],
            {(namespace,): self._mismatched[namespace] for namespace in (filled or self._mismatched)},
        )


def _family(
    name: str, documentation: str, labels: list[str], samples: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in samples.items():
        family.add_metric(list(values), value)
    return family


def _filled(
    known: Mapping[tuple[str, str], float], namespaces: Iterable[str], statuses: Sequence[str]
) -> dict[tuple[str, ...], float]:
    filled: dict[tuple[str, ...], float] = {(namespace, status): 0.0 for namespace in namespaces for status in statuses}
    filled.update(known.items())
    return filled


class Running:
    """When what is under way began."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}
        """In the order in which they began, as dictionaries keep it."""

    def begin(self, key: str) -> float:
        """`key` is under way; the time."""
        now = self._began[key] = self._clock()
        return now

    def end(self, key: str) -> float:
        """`key` is done; the seconds that it took."""
        return self._clock() - self._began.pop(key)

    def longest(self) -> float:
        """Seconds since the oldest one began; 0 if there is none."""
        first = next(iter(self._began.values()), None)
        return 0.0 if first is None else self._clock() - first
