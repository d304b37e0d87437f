"""A real Prometheus scrapes the platform with the chart's relabelling: after orders of the demo's kind every panel of
the dashboards shows something, and every metric that a panel, an alert or a page names is there."""

import contextlib
import importlib.util
import io
import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from order_devstack import demo, live_orders, platform, prometheus, scenario_player
from order_devstack.dashboards.__main__ import FOLDER
from order_devstack.dashboards.queries import expression, metrics, panels
from order_devstack.stack import PROMETHEUS, Stack

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted((ROOT / FOLDER).glob("*.json"))
ALERTS = sorted((platform.CHARTS / "order-platform" / "files" / "alerts").glob("*.yaml"))
RATE_INTERVAL = f"{4 * prometheus.SCRAPE_SECONDS}s"
PATIENCE_SECONDS = 90.0

FED_BY = {
    "temporal_activity_execution_failed_total": "api-failure",
    "temporal_workflow_task_execution_failed_total": "recoverable-failure",
    "temporal_sticky_cache_total_forced_eviction_total": "recoverable-failure",
}
"""Metrics that are not there before something goes wrong, and the scenario in which it does."""

LOCAL_FAILURES = "temporal_local_activity_execution_failed_total"
"""Another such metric. Which calls fail in the scenarios is left to chance: an order of the test's own feeds it."""

ONLY_IN_THE_SDK = {
    "temporal_request_failure_total",
    "temporal_sticky_cache_miss_total",
    "temporal_workflow_canceled_total",
}
"""Metrics of what no scenario causes: that Temporal's SDK would serve them is looked up in its binary."""


class Watched:
    """The platform with its Prometheus."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.began = time.time()

    def ask(self, path: str, **parameters: object) -> Any:
        address = f"{self.stack.addresses[PROMETHEUS]}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - our own
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """Every number that a panel with this query would show of the time since the beginning."""
        asked = expression(query, rate_interval=RATE_INTERVAL)
        times = {"start": self.began, "end": time.time(), "step": prometheus.SCRAPE_SECONDS}
        series = self.ask("query_range", query=asked, **times)["result"]
        return [float(value) for each in series for _, value in each["values"] if math.isfinite(float(value))]

    def is_scraped(self) -> None:
        """Wait until Prometheus has what every target says now: only what changes between two scrapes is a rise."""
        now = time.time()
        assert not eventually(lambda: self._not_scraped_since(now))

    def _not_scraped_since(self, moment: float) -> list[object]:
        """Targets whose newest values are older."""
        found = self.ask("query", query="timestamp(up)")["result"]
        return [each["metric"] for each in found if float(each["value"][1]) <= moment] if found else ["no target"]

    def names(self) -> set[str]:
        """Of all metrics that were scraped."""
        return set(self.ask("label/__name__/values"))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """With the orders of the demo carried out twice: what begins at nothing shows a rise at the second time. An order
    before them makes the series of its namespace, which no rise would be seen in without. On a stack of its own: orders
    that other tests leave in manual review raise an alert, as they should."""
    if prometheus.program() is None:
        pytest.fail("Prometheus was not found: apt-get install prometheus")
    stack = Stack(tmp_path_factory.mktemp("watched"), ui=False)
    try:
        stack.up()
        stack.start(PROMETHEUS)
        found = Watched(stack)
        for _ in range(2):
            namespace = live_orders.new_namespace(stack, "demo")
            assert completes(stack, namespace, "threshold")
            found.is_scraped()
            assert demo.perform(stack, namespace, Console(quiet=True, force_terminal=False)) == []
            found.is_scraped()
        yield found
    finally:
        stack.clean()


def completes(stack: Stack, namespace: str, class_name: str) -> bool:
    """Place an order of this class; whether it ends as Completed."""
    order = yaml.safe_load((ROOT / "manifests" / "samples" / "small.yaml").read_text())
    order["metadata"]["name"] = "first"
    order["spec"] = {**order["spec"], "orderID": namespace.upper(), "className": class_name}
    stack.kubectl("apply", f"--namespace={namespace}", "--filename=-", input=json.dumps(order))
    waiting = ("--for=jsonpath={.status.phase}=Completed", f"--timeout={PATIENCE_SECONDS:.0f}s")
    return "condition met" in stack.kubectl(
        "wait", f"--namespace={namespace}", "order.order-platform.dev/first", *waiting
    )


def eventually(missing: Callable[[], Any]) -> Any:
    """What is missing in the end: scrapes come every few seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := missing()) and time.monotonic() < deadline:
        time.sleep(1.0)
    return left


def boards() -> Mapping[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in BOARDS}


@pytest.mark.parametrize("name", [file.stem for file in BOARDS])
def test_every_panel_shows_something(watched: Watched, name: str) -> None:
    asked = {
        f"{panel['title']}: {target['expr']}": target["expr"]
        for panel in panels(boards()[name])
        for target in panel["targets"]
    }

    assert eventually(lambda: [title for title, query in asked.items() if not watched.values(query)]) == []


def named_anywhere() -> dict[str, set[str]]:
    """Metrics by where they are named."""
    found = {
        name: {each for panel in panels(board) for target in panel["targets"] for each in metrics(target["expr"])}
        for name, board in boards().items()
    }
    for file in ALERTS:
        found[file.name] = {each for rule in yaml.safe_load(file.read_text()) for each in metrics(rule["expr"])}
    for page in ("docs/monitoring.md", "docs/reference/metrics.md"):
        quoted = re.findall(r"`((?:orders|temporal|process)_[a-z0-9_]+)[`{]", (ROOT / page).read_text())
        found[page] = {name for name in quoted if name != "temporal_namespace"}
    return found


def test_every_metric_that_is_named_is_in_a_scrape_but_for_those_of_failures(watched: Watched) -> None:
    named = named_anywhere()
    for_failures = {*FED_BY, LOCAL_FAILURES, *ONLY_IN_THE_SDK}

    def missing() -> dict[str, set[str]]:
        served = watched.names()
        served |= {re.sub(r"_bucket$", "", name) for name in served}
        return {where: left for where, names in named.items() if (left := names - served - for_failures)}

    assert eventually(missing) == {}
    assert for_failures <= set().union(*named.values())


@pytest.mark.parametrize("scenario", sorted(set(FED_BY.values())))
def test_metrics_of_failures_are_in_a_scrape_once_a_scenario_causes_them(watched: Watched, scenario: str) -> None:
    fed = {metric for metric, by in FED_BY.items() if by == scenario}
    with contextlib.redirect_stdout(io.StringIO()):
        assert scenario_player.show(watched.stack, scenario_player.find(scenario))

    assert not eventually(lambda: fed - watched.names())


def test_a_failure_of_a_local_activity_is_in_a_scrape(watched: Watched) -> None:
    failing = {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "OrderClass",
        "metadata": {"name": "fails-once"},
        "spec": {
            "pipeline": ["Receive", "Validate", "ChargePayment", "Ship"],
            "retry": {"default": {"initialSeconds": 1, "coefficient": 1, "maxIntervalSeconds": 1}},
            "simulation": {"steps": {"Validate": {"failAttempts": 1}}},
        },
    }
    watched.stack.kubectl("apply", "--filename=-", input=json.dumps(failing))
    namespace = live_orders.new_namespace(watched.stack, "fails-once")

    assert completes(watched.stack, namespace, "fails-once")

    assert not eventually(lambda: {LOCAL_FAILURES} - watched.names())


def test_metrics_that_no_scenario_causes_are_known_to_the_sdk() -> None:
    package = importlib.util.find_spec("temporalio.bridge")
    assert package is not None
    assert package.submodule_search_locations is not None
    [library] = Path(package.submodule_search_locations[0]).glob("temporal_sdk_bridge*.so")
    known = library.read_bytes()

    names = {name.removeprefix("temporal_").removesuffix("_total") for name in ONLY_IN_THE_SDK}
    names.add("NonDeterminismError")  # the value of a label that an alert asks for
    assert {name for name in names if name.encode() not in known} == set()


def test_targets_are_labelled_as_the_alerts_and_dashboards_expect(watched: Watched) -> None:
    targets = watched.ask("query", query="up")["result"]
    found = {(each["metric"]["job"], each["metric"].get("worker")): each["value"][1] for each in targets}
    assert found == {
        ("order-platform-operator", None): "1",
        ("order-platform-worker", "orders"): "1",
        ("order-platform-worker", "shipping"): "1",
        ("order-platform-worker", "nexus"): "1",
    }
    pollers = watched.ask("query", query="temporal_num_pollers")["result"]
    assert {each["metric"]["namespace"] for each in pollers} == {platform.NAMESPACE}
    assert {each["metric"]["temporal_namespace"] for each in pollers} == {"default", "shipping"}
    assert not any("exported_namespace" in each["metric"] for each in pollers)


def test_the_alerts_are_evaluated_and_none_fires_of_a_platform_that_works(watched: Watched) -> None:
    def unwell() -> list[tuple[str, str]]:
        rules = watched.ask("rules")["groups"][0]["rules"]
        assert len(rules) == sum(len(yaml.safe_load(file.read_text())) for file in ALERTS)
        wrong = [(rule["name"], rule["health"]) for rule in rules if rule["health"] != "ok"]
        return wrong + [(rule["name"], "firing") for rule in rules if rule["state"] == "firing"]

    assert eventually(unwell) == []


def test_orders_are_counted_once_also_by_an_operator_that_starts_again(watched: Watched) -> None:
    ended = 'sum(max_over_time(orders_finished_total{order_namespace=~"demo-.*"}[1h]))'
    orders = (1 + len(demo.ACTS)) * 2
    assert not eventually(lambda: [] if _number(watched, ended) == orders else [_number(watched, ended)])

    watched.stack.stop("operator")
    watched.stack.start("operator")
    watched.is_scraped()  # until then Prometheus answers with what the operator before said

    assert not eventually(lambda: [] if _number(watched, "max(orders_operator_active)") == 1 else ["no leader"])
    assert not eventually(
        lambda: [] if _number(watched, 'sum(orders_current{order_namespace=~"demo-.*"})') == orders else ["not seen"]
    )
    assert _number(watched, 'sum(orders_finished_total{order_namespace=~"demo-.*"}) or vector(0)') == 0


def _number(watched: Watched, query: str) -> float:
    [found] = watched.ask("query", query=query)["result"] or [{"value": (0, "nan")}]
    return float(found["value"][1])
