"""The manifests that people copy from are valid, and are what their comments say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from order_domain.judgement import judge
from order_domain.order import OrderSpec, sum_minor
from order_domain.pipeline import StepName
from order_domain.policy import OrderClassSpec
from order_domain.stock_item import StockItemSpec
from order_operator.cluster.api_names import API_VERSION, ORDER_CLASS_KIND, ORDER_KIND, STOCK_ITEM_KIND

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
STOCK_SAMPLE = MANIFESTS / "samples/stock.yaml"
SAMPLES = sorted(set((MANIFESTS / "samples").glob("*.yaml")) - {STOCK_SAMPLE})
CLASSES = sorted((MANIFESTS / "classes").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def fields(value: Any, prefix: str = "") -> set[str]:
    """Every path in a document; a list counts as its items."""
    if isinstance(value, dict):
        return {prefix}.union(*(fields(item, f"{prefix}.{key}") for key, item in value.items()))
    if isinstance(value, list):
        return {prefix}.union(*(fields(item, prefix) for item in value))
    return {prefix}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_a_valid_order_without_unknown_fields(path: Path) -> None:
    document = load(path)
    spec = judge(OrderSpec, document["spec"])

    assert (document["apiVersion"], document["kind"]) == (API_VERSION, ORDER_KIND)
    assert fields(document["spec"]) <= fields(spec.model_dump(mode="json"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_names_a_class_that_ships_and_no_namespace(path: Path) -> None:
    document = load(path)

    assert document["spec"].get("className", "standard") in {item.stem for item in CLASSES}
    assert document["metadata"].keys() == {"name"}


def test_the_stock_sample_is_the_worked_example_that_its_comment_tells() -> None:
    document = load(STOCK_SAMPLE)
    spec = judge(StockItemSpec, document["spec"])
    left = spec.initial_on_hand - 999

    assert (document["apiVersion"], document["kind"]) == (API_VERSION, STOCK_ITEM_KIND)
    assert document["metadata"].keys() == {"name"}
    assert fields(document["spec"]) <= fields(spec.model_dump(mode="json"))
    assert left < spec.minimum <= spec.initial_on_hand
    assert (left, spec.target - left, spec.target) == (1, 9_999, 10_000)


@pytest.mark.parametrize("path", CLASSES, ids=lambda path: path.stem)
def test_a_class_is_valid_without_unknown_fields_and_named_as_its_file(path: Path) -> None:
    document = load(path)
    spec = judge(OrderClassSpec, document["spec"])

    assert (document["apiVersion"], document["kind"]) == (API_VERSION, ORDER_CLASS_KIND)
    assert fields(document["spec"]) <= fields(spec.model_dump(mode="json"))
    assert document["metadata"]["name"] == path.stem


@pytest.mark.parametrize(("sample", "waits"), [("small", False), ("needs-approval", True)])
def test_the_samples_of_class_threshold_lie_on_both_sides_of_it(sample: str, waits: bool) -> None:
    order = judge(OrderSpec, load(MANIFESTS / f"samples/{sample}.yaml")["spec"])
    policy = judge(OrderClassSpec, load(MANIFESTS / f"classes/{order.class_name}.yaml")["spec"])

    assert policy.approval.required(order.sum_minor, order.currency) is waits


def test_the_sample_with_charges_costs_what_its_comment_says() -> None:
    order = judge(OrderSpec, load(MANIFESTS / "samples/charges.yaml")["spec"])

    assert (sum_minor(order.lines), order.sum_minor) == (5_000, 5_400)


def test_exactly_the_threshold_passes_class_threshold_without_a_person() -> None:
    policy = judge(OrderClassSpec, load(MANIFESTS / "classes/threshold.yaml")["spec"])

    assert not policy.approval.required(100_000, "USD")
    assert policy.approval.required(100_001, "USD")


def test_class_threshold_gives_up_after_three_attempts() -> None:
    policy = judge(OrderClassSpec, load(MANIFESTS / "classes/threshold.yaml")["spec"])

    assert policy.retry.of(StepName.CHARGE_PAYMENT).max_attempts == 3


def test_class_standard_gives_up_on_the_notification_only() -> None:
    policy = judge(OrderClassSpec, load(MANIFESTS / "classes/standard.yaml")["spec"])

    limited = {step for step in policy.pipeline if policy.retry.of(step).max_attempts}

    assert limited == {StepName.NOTIFY}
