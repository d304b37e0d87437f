"""Which kinds of a cluster are recent enough for this release, and what the others lack first."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from order_operator.crd.comparison import established, lacking
from order_operator.crd.order import order_crd
from order_operator.crd.order_class import order_class_crd
from order_operator.crd.stock_item import stock_item_crd
from order_operator.crd.structural_schema import Schema

KINDS = [order_crd, order_class_crd, stock_item_crd]


def node(crd: Schema, path: str) -> Schema:
    """The schema node at a path as `lacking` writes it."""
    found: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for step in path.replace("[]", ".[]").split(".") if path else ():
        if step == "[]":
            found = found["items"]
        elif step == "*":
            found = found["additionalProperties"]
        else:
            found = found["properties"][step]
    return found


def earlier(crd: Schema, path: str) -> Schema:
    """The kind of a release that had no such field."""
    parent, _, name = path.rpartition(".")
    del node(crd, parent)["properties"][name]
    return crd


@pytest.mark.parametrize("crd", KINDS)
def test_a_kind_lacks_nothing_of_itself(crd: Callable[[], Schema]) -> None:
    assert lacking(crd(), crd()) is None


@pytest.mark.parametrize(
    "path", ["status", "status.progress", "status.workflow.runID", "spec.charges", "spec.lines[].sku"]
)
def test_a_field_that_is_not_there_is_named(path: str) -> None:
    assert lacking(earlier(order_crd(), path), order_crd()) == path


def test_a_field_of_every_value_of_a_mapping_is_named() -> None:
    path = "spec.retry.steps.*.totalSeconds"

    assert lacking(earlier(order_class_crd(), path), order_class_crd()) == path


def test_a_version_that_is_not_served_is_named() -> None:
    live = order_crd()
    live["spec"]["versions"][0]["served"] = False

    assert lacking(live, order_crd()) == "the served version v1alpha1"


def test_a_value_that_a_status_could_not_hold_is_named() -> None:
    live = order_crd()
    node(live, "status.phase")["enum"].remove("ManualReview")

    assert lacking(live, order_crd()) == "status.phase with the value ManualReview"


def test_a_bound_that_a_status_could_pass_is_named() -> None:
    live = order_crd()
    node(live, "status.conditions")["maxItems"] = 5

    assert lacking(live, order_crd()) == "status.conditions with maxItems 20"


def test_a_narrower_spec_is_left_to_admission() -> None:
    live = order_crd()
    node(live, "spec.lines")["maxItems"] = 1

    assert lacking(live, order_crd()) is None


def newer(crd: Schema) -> Schema:
    """The same kind a release later: more versions, fields, values and room, other words."""
    crd = deepcopy(crd)
    crd["spec"]["versions"].insert(0, {"name": "v1", "served": True, "storage": False, "schema": {}})
    schema = crd["spec"]["versions"][1]["schema"]["openAPIV3Schema"]
    schema["description"] = "In other words."
    schema["properties"]["spec"]["properties"]["more"] = {"type": "string", "default": "more"}
    for field in schema["properties"].get("status", {}).get("properties", {}).values():
        field["maxLength"] = 100_000
        if "enum" in field:
            field["enum"].append("More")
    return crd


@pytest.mark.parametrize("crd", KINDS)
def test_a_newer_kind_is_recent_enough(crd: Callable[[], Schema]) -> None:
    assert lacking(newer(crd()), crd()) is None


def test_a_field_that_takes_everything_lacks_nothing() -> None:
    live = order_crd()
    status = live["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    status["status"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

    assert lacking(live, order_crd()) is None


@pytest.mark.parametrize(
    ("live", "is_established"),
    [
        ({}, False),
        ({"status": {"conditions": None}}, False),
        ({"status": {"conditions": [{"type": "Established", "status": "False"}]}}, False),
        ({"status": {"conditions": [{"type": "Established", "status": "True"}]}}, True),
    ],
)
def test_a_kind_is_served_once_the_api_server_says_so(live: dict[str, Any], is_established: bool) -> None:
    assert established(live) is is_established
