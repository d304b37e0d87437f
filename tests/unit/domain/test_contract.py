from typing import Any

import pytest
from builders import UID, a_line, an_address, an_order_input, an_order_spec
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from order_domain.judgement import judge
from order_workflows.contract import (
    SEARCH_ATTRIBUTES,
    LinesChange,
    asked_for,
    input_hash,
    parse_workflow_id,
    shipment_workflow_id,
    workflow_id,
)

parts = st.text(st.characters(exclude_characters="/"), min_size=1)


@given(parts, parts, parts)
def test_a_workflow_id_can_be_read_back(namespace: str, name: str, uid: str) -> None:
    assert parse_workflow_id(workflow_id(namespace, name, uid)) == (namespace, name, uid)


@pytest.mark.parametrize(
    "identifier",
    ["", "order", "order/a/b", "order/a/b/c/d", "shipment/a/b/c", "order//b/c", "order/a//c", "order/a/b/", "a/b/c/d"],
)
def test_an_id_that_is_not_an_orders_is_not_taken_for_one(identifier: str) -> None:
    assert parse_workflow_id(identifier) is None


def test_the_id_of_a_shipment_is_not_taken_for_an_orders() -> None:
    identity = an_order_input().identity

    assert shipment_workflow_id(identity, "1") == f"shipment/shop/order-1/{UID}/1"
    assert parse_workflow_id(shipment_workflow_id(identity, "1")) is None


def test_no_search_attribute_is_named_twice() -> None:
    assert len({key.name for key in SEARCH_ATTRIBUTES}) == len(SEARCH_ATTRIBUTES)


@pytest.mark.parametrize("count", [0, 201])
def test_a_change_of_lines_is_bounded_as_the_lines_are(count: int) -> None:
    with pytest.raises(ValidationError, match="lines"):
        judge(LinesChange, {"lines": [a_line(line_id=str(number)) for number in range(count)]})


def test_the_order_number_is_the_resources_name_by_default() -> None:
    assert an_order_input(name="book").order_id == "book"
    assert an_order_input(name="book", spec=an_order_spec(order_id="ORDER-7")).order_id == "ORDER-7"


@pytest.mark.parametrize(
    "changes",
    [
        {"suspend": True},
        {"deletion_policy": "Orphan"},
        {"shipping_address": an_address(city="Shelbyville")},
        {"approval": {"decision": "Approved", "by": "bob"}},
        {"cancellation": {"reason": "changed my mind"}},
        {"lines": [a_line(quantity=2)]},
        {"ttl_seconds_after_finished": 60},
    ],
)
def test_the_input_hash_does_not_see_what_messages_can_change(changes: dict[str, Any]) -> None:
    assert input_hash(an_order_spec(**changes)) == input_hash(an_order_spec())


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": "ORDER-7"},
        {"class_name": "threshold"},
        {"customer": {"id": "CUST-2"}},
        {"currency": "EUR"},
        {"payment": {"method": "tok_other"}},
    ],
)
def test_the_input_hash_tells_another_order_apart(changes: dict[str, Any]) -> None:
    assert input_hash(an_order_spec(**changes)) != input_hash(an_order_spec())


def test_a_shipment_is_told_apart_by_its_operation_its_units_and_its_address_alone() -> None:
    line, address = a_line(description="a book"), an_address()
    first = asked_for("u1/ship/1", line, address)

    assert asked_for("u1/ship/1", a_line(unit_price_minor=1), address) == first
    others = [("u1/ship/1/2", line, address), ("u1/ship/1", a_line(quantity=2), address)]
    others.append(("u1/ship/1", line, an_address(line1="742 Evergreen Terrace")))
    assert first not in {asked_for(*other) for other in others}
