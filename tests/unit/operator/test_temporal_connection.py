"""What the operator makes of Temporal's answers, with a scripted server."""

from typing import Any, cast

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.conditions import Reason
from order_operator.temporal.connection import UNREACHABLE, TemporalConnection
from order_workflows.contract import SEARCH_ATTRIBUTES


def rpc(status: RPCStatusCode) -> RPCError:
    return RPCError("the server's words", status, b"")


class Server:
    """Both services of one server. `errors`: by call, what it answers instead."""

    def __init__(self, **errors: RPCError) -> None:
        self.namespace = "shop"
        self.workflow_service = self.operator_service = self
        self._errors = errors
        self.calls: list[str] = []
        self.attributes = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if call in self._errors:
            raise self._errors[call]

    async def describe_namespace(self, _request: Any) -> None:
        self._answer("describe_namespace")

    async def list_search_attributes(self, _request: Any) -> ListSearchAttributesResponse:
        self._answer("list_search_attributes")
        return ListSearchAttributesResponse(custom_attributes=self.attributes)

    async def add_search_attributes(self, _request: Any) -> None:
        self._answer("add_search_attributes")

    async def list_workflow_executions(self, _request: Any) -> None:
        self._answer("list_workflow_executions")


def a_connection(server: Server, *, create: bool = True) -> TemporalConnection:
    return TemporalConnection(cast("Client", server), create_search_attributes=create)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (RPCStatusCode.PERMISSION_DENIED, Reason.TEMPORAL_PERMISSION_DENIED),
        (RPCStatusCode.UNAUTHENTICATED, Reason.TEMPORAL_UNAUTHENTICATED),
        (RPCStatusCode.RESOURCE_EXHAUSTED, Reason.TEMPORAL_RATE_LIMITED),
        (RPCStatusCode.NOT_FOUND, Reason.TEMPORAL_NAMESPACE_NOT_FOUND),
        (RPCStatusCode.UNAVAILABLE, Reason.TEMPORAL_UNAVAILABLE),
    ],
)
async def test_a_check_that_fails_names_its_cause(status: RPCStatusCode, reason: Reason) -> None:
    """B23: rights and keys were called an outage that goes by itself."""
    problem = await a_connection(Server(describe_namespace=rpc(status)))._check()

    assert problem is not None
    assert problem.reason == reason


@pytest.mark.parametrize("status", [RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
async def test_a_server_that_keeps_the_operator_service_for_administrators_is_asked_by_a_query(
    status: RPCStatusCode,
) -> None:
    server = Server(list_search_attributes=rpc(status))

    assert await a_connection(server)._check() is None
    assert server.calls[-1] == "list_workflow_executions"


async def test_attributes_that_such_a_server_lacks_are_asked_for() -> None:
    server = Server(
        list_search_attributes=rpc(RPCStatusCode.PERMISSION_DENIED),
        list_workflow_executions=rpc(RPCStatusCode.INVALID_ARGUMENT),
    )

    problem = await a_connection(server)._check()

    assert problem is not None
    assert problem.reason == Reason.SEARCH_ATTRIBUTES_MISSING
    assert "OrderStatus" in problem.message


async def test_missing_attributes_are_registered_only_where_that_is_allowed() -> None:
    server = Server()
    server.attributes.pop("OrderStatus")

    assert await a_connection(server)._check() is None
    refused = await a_connection(server, create=False)._check()

    assert server.calls.count("add_search_attributes") == 1
    assert refused is not None
    assert refused.reason == Reason.SEARCH_ATTRIBUTES_MISSING


@pytest.mark.parametrize(
    ("status", "reason", "stalled"),
    [
        (RPCStatusCode.INVALID_ARGUMENT, Reason.TEMPORAL_REFUSED, True),
        (RPCStatusCode.PERMISSION_DENIED, Reason.TEMPORAL_PERMISSION_DENIED, False),
        (RPCStatusCode.RESOURCE_EXHAUSTED, Reason.TEMPORAL_RATE_LIMITED, False),
    ],
)
def test_a_call_that_fails_names_its_cause_too(status: RPCStatusCode, reason: Reason, stalled: bool) -> None:
    problem = a_connection(Server()).problem_of(rpc(status))

    assert (problem.reason, problem.stalled) == (reason, stalled)


def test_a_call_that_gets_no_answer_is_an_outage() -> None:
    assert a_connection(Server()).problem_of(rpc(RPCStatusCode.DEADLINE_EXCEEDED)) is UNREACHABLE
