"""The operator's look at Temporal before it carries orders: what a namespace lacks is named, or made good."""

import asyncio
import uuid

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from order_devstack.stack import Stack
from order_operator.cluster.conditions import Reason
from order_operator.temporal.connection import TemporalConnection
from order_workflows.contract import SEARCH_ATTRIBUTES

EARLIER = {"OrderStatus": "Keyword", "OrderSeq": "Int", "OrderUpdatedAt": "Datetime", "OrderCluster": "Keyword"}
"""What the first version asked for."""


def a_namespace(servers: Stack, attributes: dict[str, str]) -> str:
    """With only these search attributes."""
    name = f"earlier-{uuid.uuid4().hex[:8]}"
    servers.temporal("operator", "namespace", "create", "--namespace", name)
    for attribute, kind in attributes.items():
        create = ("search-attribute", "create", "--namespace", name, "--name", attribute, "--type", kind)
        servers.temporal("operator", *create)
    return name


async def checked(servers: Stack, namespace: str, *, create: bool) -> TemporalConnection:
    """A connection that has looked."""
    client = await Client.connect(servers.addresses["temporal"], namespace=namespace)
    connection = TemporalConnection(client, create_search_attributes=create)
    before = connection.problem
    watching = asyncio.create_task(connection.watch())
    async with asyncio.timeout(30):
        while connection.problem == before:  # noqa: ASYNC110 - a plain attribute, of which nobody tells
            await asyncio.sleep(0.1)
    watching.cancel()
    return connection


async def test_a_namespace_of_an_earlier_version_gets_the_attributes_that_it_lacks(servers: Stack) -> None:
    namespace = a_namespace(servers, EARLIER)

    connection = await checked(servers, namespace, create=True)

    answer = await connection.client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=namespace)
    )
    found = {name: IndexedValueType.ValueType(kind) for name, kind in answer.custom_attributes.items()}
    assert connection.problem is None
    assert found.items() >= {(key.name, key.indexed_value_type) for key in SEARCH_ATTRIBUTES}


async def test_the_servers_word_on_failing_workflows_is_known_to_be_there(servers: Stack) -> None:
    assert (await checked(servers, "default", create=True)).reports_task_problems


async def test_an_operator_that_may_not_create_them_names_exactly_those_that_are_missing(servers: Stack) -> None:
    connection = await checked(servers, a_namespace(servers, EARLIER), create=False)

    assert connection.problem is not None
    assert connection.problem.reason is Reason.SEARCH_ATTRIBUTES_MISSING
    missing = [key.name for key in SEARCH_ATTRIBUTES if key.name not in EARLIER]
    assert f"lacks the search attributes {', '.join(missing)}: " in connection.problem.message


@pytest.mark.parametrize("create", [True, False])
async def test_an_attribute_of_another_type_is_named_and_left_alone(create: bool, servers: Stack) -> None:
    connection = await checked(servers, a_namespace(servers, {"OrderTotalMinor": "Keyword"}), create=create)

    assert connection.problem is not None
    assert connection.problem.reason is Reason.SEARCH_ATTRIBUTE_TYPE_MISMATCH
    assert "search attribute OrderTotalMinor " in connection.problem.message
