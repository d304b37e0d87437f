"""The manifests of the scenarios are valid, have the numbers of their systems, and are those of the catalogue."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_samples import CLASSES, fields

from order_devstack import scenario_player
from order_devstack.errors import DevstackError
from order_devstack.scenario_player import MANIFESTS, Scenario
from order_devstack.scenarios import DECIDED_MINOR, SCENARIOS
from order_domain.judgement import judge
from order_domain.order import OrderSpec
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec, ShippingMode
from order_domain.simulation import FaultType, Simulation, StepFaults
from order_domain.stock_item import StockItemSpec
from order_operator.cluster.api_names import API_VERSION, ORDER_CLASS_KIND, ORDER_KIND, STOCK_ITEM_KIND

ROOT = Path(__file__).resolve().parents[2]
MODELS = {ORDER_KIND: OrderSpec, ORDER_CLASS_KIND: OrderClassSpec, STOCK_ITEM_KIND: StockItemSpec}

scenarios = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)


def objects(scenario: Scenario, kind: str) -> dict[str, dict[str, Any]]:
    """Spec by name."""
    found = scenario_player.documents(scenario)
    return {item["metadata"]["name"]: item["spec"] for item in found if item["kind"] == kind}


def simulation(name: str) -> Simulation:
    (spec,) = objects(SCENARIOS[name], ORDER_CLASS_KIND).values()
    return judge(OrderClassSpec, spec).simulation


def preset(name: str) -> OrderClassSpec:
    return judge(OrderClassSpec, yaml.safe_load((ROOT / f"manifests/classes/{name}.yaml").read_text())["spec"])


def test_every_manifest_has_its_scenario_and_every_scenario_its_manifest() -> None:
    assert {path.stem for path in MANIFESTS.iterdir()} == set(SCENARIOS)


@scenarios
def test_the_objects_of_a_scenario_are_valid_without_unknown_fields(scenario: Scenario) -> None:
    for item in scenario_player.documents(scenario):
        spec = judge(MODELS[item["kind"]], item["spec"])

        assert item["apiVersion"] == API_VERSION
        assert item["metadata"].keys() == {"name"}
        assert fields(item["spec"]) <= fields(spec.model_dump(mode="json"))


@scenarios
def test_the_catalogue_tells_how_every_order_of_the_manifest_ends(scenario: Scenario) -> None:
    orders = objects(scenario, ORDER_KIND)

    assert set(scenario.endings) == set(orders)
    assert scenario.held_back <= set(orders)
    for name, spec in orders.items():
        sums = {judge(OrderSpec, spec).sum_minor, DECIDED_MINOR if name == "added-to" else 0}
        assert scenario.endings[name].captured in {0, *sums}


@scenarios
def test_a_scenario_brings_at_most_one_class_or_follows_those_that_ship(scenario: Scenario) -> None:
    own = set(objects(scenario, ORDER_CLASS_KIND))

    assert own <= {f"scenario-{scenario.name}"}
    for spec in objects(scenario, ORDER_KIND).values():
        assert spec["className"] in own | {path.stem for path in CLASSES}


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("killed-worker", "durable-stock"),
        ("errors-everywhere", "durable-stock"),
        ("flaky-calls", "reviewed-ledger"),
        ("enrichment", "enriched-saga"),
        ("address-by-signal", "scenario-demo"),
    ],
)
def test_the_class_of_a_scenario_has_the_steps_of_its_system(name: str, like: str) -> None:
    (spec,) = objects(SCENARIOS[name], ORDER_CLASS_KIND).values()

    assert judge(OrderClassSpec, spec).pipeline == preset(like).pipeline


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS.values() if s.system == "000"], ids=lambda s: s.name)
def test_only_those_who_wait_for_an_address_have_a_window_for_it(scenario: Scenario) -> None:
    steps = list(preset("scenario-demo").pipeline)
    if not scenario.name.startswith("address-by-"):
        steps.remove(StepName.ADDRESS_WINDOW)

    for spec in objects(scenario, ORDER_CLASS_KIND).values():
        assert judge(OrderClassSpec, spec).pipeline == steps


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("api-failure", {StepName.CHARGE_PAYMENT: StepFaults(fail_attempts=4)}),
        ("non-recoverable-failure", {StepName.CHARGE_PAYMENT: StepFaults(decline_code="invalid_number")}),
        ("killed-worker", {StepName.RESERVE_STOCK: StepFaults(pause_before_seconds=15)}),
        (
            "enrichment",
            {
                StepName.ENRICH: StepFaults(error_percent=10),
                StepName.RESERVE_STOCK: StepFaults(error_percent=10),
                StepName.CHARGE_PAYMENT: StepFaults(error_percent=20),
                StepName.UPDATE_ORDER_STATUS: StepFaults(error_percent=5),
                StepName.NOTIFY: StepFaults(error_percent=10),
            },
        ),
    ],
)
def test_a_step_fails_as_often_as_in_its_system(name: str, asked_for: dict[StepName, StepFaults]) -> None:
    assert simulation(name) == Simulation(steps=asked_for)


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("errors-everywhere", StepFaults(error_percent=33)),
        ("flaky-calls", StepFaults(error_percent=33, latency_seconds=5, latency_percent=34)),
    ],
)
def test_every_step_fails_as_often_as_in_its_system(name: str, asked_for: StepFaults) -> None:
    assert simulation(name) == Simulation(default=asked_for)
    assert asked_for.error_type is FaultType.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    ("name", "mode"),
    [("child-workflows", ShippingMode.CHILD_WORKFLOWS), ("nexus-operation", ShippingMode.NEXUS)],
)
def test_a_scenario_ships_as_its_name_says(name: str, mode: ShippingMode) -> None:
    (spec,) = objects(SCENARIOS[name], ORDER_CLASS_KIND).values()

    assert judge(OrderClassSpec, spec).shipping.mode is mode


def test_an_unknown_scenario_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(DevstackError, match=f"no scenario is called happy; there are {', '.join(SCENARIOS)}"):
        scenario_player.find("happy")


def test_the_page_of_scenarios_says_of_each_what_the_catalogue_says() -> None:
    """The page said that progress is shown within a second, the command every five seconds."""
    page = (ROOT / "docs/scenarios.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| [")]

    assert rows == [
        f"| [{scenario.name}](../manifests/samples/scenarios/{scenario.name}.yaml) | {scenario.system} | "
        f"{scenario.story} | {scenario.watch} | {scenario.end} |"
        for scenario in SCENARIOS.values()
    ]


def test_the_readme_lists_the_scenarios_of_each_system() -> None:
    page = (ROOT / "README.md").read_text()
    listed = dict(re.findall(r"^\| (\d{3}), [^|]+ \| ([a-z, -]+) \|$", page, re.MULTILINE))

    assert {system: names.split(", ") for system, names in listed.items()} == {
        system: [each.name for each in SCENARIOS.values() if each.system == system]
        for system in sorted({each.system for each in SCENARIOS.values()})
    }
