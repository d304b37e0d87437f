"""From models to CustomResourceDefinitions: what is promised, and what is refused because it could not be held."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import Field, create_model

from order_domain.order import MAX_CHARGES, MAX_NAMES, OrderSpec
from order_domain.value import Value
from order_operator.crd.definition import Rule
from order_operator.crd.order import ORDER_RULES, order_crd
from order_operator.crd.order_class import ORDER_CLASS_RULES, order_class_crd
from order_operator.crd.stock_item import STOCK_ITEM_RULES, stock_item_crd
from order_operator.crd.structural_schema import Leniency, NotStructuralError, Schema, structural_schema

MAX_SPEC_BYTES = 128 * 1024


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Node(Value):
    next: "Node | None" = None


def schema_of(annotation: Any, **fields: Any) -> Schema:
    """The structural schema of a field of this type."""
    model = create_model("Model", __base__=Value, field=(annotation, Field(**fields)))
    node: Schema = structural_schema(model)["properties"]["field"]
    return node


@pytest.mark.parametrize(
    "annotation",
    [
        int | str,
        tuple[int, int],
        timedelta,
        Decimal,
        float,
        Any,
        dict[str, int],
        dict[str, Any],
        str,
        list[int],
        Annotated[list[Any], Field(max_length=3)],
        Node,
    ],
    ids=str,
)
def test_what_has_no_structural_form_is_refused(annotation: Any) -> None:
    with pytest.raises(NotStructuralError, match=r"Model\.field"):
        schema_of(annotation)


def test_a_field_that_may_be_none_is_optional_and_not_nullable() -> None:
    model = create_model("Model", __base__=Value, field=(Colour | None, None))

    schema = structural_schema(model)

    assert schema["properties"]["field"] == {"type": "string", "enum": ["red", "blue"]} | {
        key: value for key, value in schema["properties"]["field"].items() if key == "description"
    }
    assert "required" not in schema


def test_the_keys_of_a_mapping_are_held_to_their_enumeration() -> None:
    node = schema_of(dict[Colour, bool])

    assert node["maxProperties"] == 2
    assert node["x-kubernetes-validations"][0]["rule"] == "self.all(key, key in ['red', 'blue'])"


def test_an_exclusive_bound_of_an_integer_becomes_the_next_inclusive_one() -> None:
    node = schema_of(int, gt=0, lt=10)

    assert (node["minimum"], node["maximum"]) == (1, 9)


def test_a_set_becomes_a_list_of_distinct_items() -> None:
    node = schema_of(Annotated[set[Colour], Field(max_length=2)])

    assert node["x-kubernetes-list-type"] == "set"


def test_a_time_keeps_its_format_and_needs_no_bound() -> None:
    assert schema_of(datetime) == {"type": "string", "format": "date-time"}


def test_a_default_object_leaves_out_what_is_none() -> None:
    class Inner(Value):
        count: int = 1
        colour: Colour | None = None

    assert schema_of(Inner, default=Inner())["default"] == {"count": 1}


def test_the_docstring_of_a_field_is_its_description() -> None:
    lines = structural_schema(OrderSpec)["properties"]["lines"]

    assert lines["items"]["properties"]["quantity"]["description"] == "Number of pieces."


def test_leniency_bounds_strings_and_drops_defaults() -> None:
    model = create_model("Model", __base__=Value, text=(str, "x"))

    schema = structural_schema(model, Leniency(max_length=7, defaults=False))

    assert schema["properties"]["text"] == {"type": "string", "maxLength": 7}


def nodes(schema: Schema) -> Iterator[Schema]:
    yield schema
    for child in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if child:
            yield from nodes(child)


def schema_in(crd: Schema) -> Schema:
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize(
    "crd", [order_crd(), order_class_crd(), stock_item_crd()], ids=["Order", "OrderClass", "StockItem"]
)
def test_every_string_and_list_is_bounded(crd: Schema) -> None:
    for node in nodes(schema_in(crd)):
        if node["type"] == "string":
            assert node.keys() & {"maxLength", "enum", "format"}, node
        if node["type"] == "array":
            assert "maxItems" in node, node


@pytest.mark.parametrize("rule", [*ORDER_RULES, *ORDER_CLASS_RULES, *STOCK_ITEM_RULES], ids=lambda rule: rule.message)
def test_the_message_of_a_rule_says_what_to_do(rule: Rule) -> None:
    complaint, _, advice = rule.message.partition(": ")

    assert complaint
    assert advice


def most_bytes(node: Schema) -> int:
    """Size of the largest value as UTF-8 JSON."""
    match node:
        case {"enum": values}:
            return max(len(value) for value in values) + 2
        case {"type": "string", "maxLength": length}:
            any_character = "[^" in node.get("pattern", "[^")
            return length * (4 if any_character else 1) + 2
        case {"type": "array"}:
            return int(node["maxItems"]) * (most_bytes(node["items"]) + 1) + 2
        case {"type": "object"}:
            return sum(len(name) + 4 + most_bytes(value) for name, value in node["properties"].items()) + 2
        case {"type": "integer"}:
            return len(str(node["maximum"]))
        case {"type": "boolean"}:
            return 5
    raise AssertionError(node)


def test_the_largest_spec_that_the_bounds_allow_is_below_128_kib() -> None:
    spec = schema_in(order_crd())["properties"]["spec"]
    # A rule holds that those of the charges fit into what those of the lines leave.
    descriptions_of_charges = (
        MAX_CHARGES * 4 * spec["properties"]["charges"]["items"]["properties"]["description"]["maxLength"]
    )

    # Another rule bounds the four names of users together.
    names = 4 * (4 * spec["properties"]["requestedBy"]["maxLength"] - MAX_NAMES)

    assert 100_000 < most_bytes(spec) - descriptions_of_charges - names < MAX_SPEC_BYTES


def test_the_columns_of_a_stock_item_show_its_counts() -> None:
    columns = stock_item_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow = [column["name"] for column in columns if "priority" not in column]

    assert narrow == ["SKU", "On-Hand", "Reserved", "On-Order", "Minimum", "Target", "Ready", "Age"]
    assert [column["name"] for column in columns if "priority" in column] == ["Sold", "Message"]


def test_a_status_may_show_what_an_earlier_release_accepted() -> None:
    parts = order_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    spec, status = (parts[part]["properties"]["shippingAddress"]["properties"] for part in ("spec", "status"))

    assert all("x-kubernetes-validations" in field for field in spec.values())
    assert not [name for name, field in status.items() if {"x-kubernetes-validations", "pattern"} & field.keys()]
