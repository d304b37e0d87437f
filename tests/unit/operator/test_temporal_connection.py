"""What the operator makes of Temporal's answers, with a scripted server."""

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import pytest
from encryption_keys import ring_file
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import ListSearchAttributesResponse
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse, ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem
from order_operator.temporal import connection as module
from order_operator.temporal.connection import TASK_PROBLEMS, UNREACHABLE, TemporalConnection
from order_operator.temporal.runs import Unreadable, converter_of, memo_values
from order_workflows.contract import SEARCH_ATTRIBUTES


def rpc(status: RPCStatusCode) -> RPCError:
    return RPCError("the server's words", status, b"")


class Server:
    """Both services of one server. `errors`: by call, what it answers instead."""

    def __init__(self, **errors: RPCError) -> None:
        self.namespace = "shop"
        self.workflow_service = self.operator_service = self
        self.errors = errors
        self.calls: list[str] = []
        self.system: set[str] = set()
        self.attributes = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if call in self.errors:
            raise self.errors[call]

    async def describe_namespace(self, _request: Any) -> DescribeNamespaceResponse:
        self._answer("describe_namespace")
        kinds = {kind: name for name, kind in module._COLUMNS.items()}
        columns = {f"{kinds[kind]}{number:02}": name for number, (name, kind) in enumerate(self.attributes.items())}
        return DescribeNamespaceResponse(config=NamespaceConfig(custom_search_attribute_aliases=columns))

    async def list_search_attributes(self, _request: Any) -> ListSearchAttributesResponse:
        self._answer("list_search_attributes")
        return ListSearchAttributesResponse(custom_attributes=self.attributes)

    async def add_search_attributes(self, _request: Any) -> None:
        self._answer("add_search_attributes")

    async def list_workflow_executions(self, request: ListWorkflowExecutionsRequest) -> None:
        self._answer("list_workflow_executions")
        for term in filter(None, request.query.split(" AND ")):
            if term.removesuffix(" IS NULL") not in {*self.attributes, *self.system}:
                raise RPCError(f"invalid query: {term}", RPCStatusCode.INVALID_ARGUMENT, b"")


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
    problem = await a_connection(Server(describe_namespace=rpc(status))).check()

    assert problem is not None
    assert problem.reason == reason


async def test_all_orders_are_looked_at_again_once_a_missing_namespace_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    server = Server(describe_namespace=rpc(RPCStatusCode.NOT_FOUND))
    connection = a_connection(server)
    looks = asyncio.Queue[Problem | None]()
    connection.on_recovery(lambda: looks.put_nowait(connection.problem))
    watching = asyncio.create_task(connection.watch())
    async with asyncio.timeout(10):
        missing = await looks.get()
        server.errors.clear()
        there = await looks.get()
    watching.cancel()

    assert missing is not None
    assert (missing.reason, there) == (Reason.TEMPORAL_NAMESPACE_NOT_FOUND, None)


@pytest.mark.parametrize("status", [RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
async def test_a_server_that_keeps_the_operator_service_for_administrators_is_asked_by_a_query(
    status: RPCStatusCode,
) -> None:
    server = Server(list_search_attributes=rpc(status))

    assert await a_connection(server).check() is None
    assert server.calls[-1] == "list_workflow_executions"


async def test_attributes_that_such_a_server_lacks_are_asked_for() -> None:
    server = Server(list_search_attributes=rpc(RPCStatusCode.PERMISSION_DENIED))
    server.attributes.pop("OrderStatus")
    server.attributes.pop("OrderTotalMinor")

    problem = await a_connection(server).check()

    assert problem is not None
    assert problem.reason == Reason.SEARCH_ATTRIBUTES_MISSING
    assert "lacks the search attributes OrderStatus, OrderTotalMinor: " in problem.message


async def test_the_type_of_an_attribute_is_told_by_its_column_there() -> None:
    server = Server(list_search_attributes=rpc(RPCStatusCode.PERMISSION_DENIED))
    server.attributes["OrderTotalMinor"] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

    problem = await a_connection(server).check()

    assert problem is not None
    assert problem.reason == Reason.SEARCH_ATTRIBUTE_TYPE_MISMATCH
    assert "OrderTotalMinor" in problem.message


async def test_a_server_that_lets_the_operator_look_but_not_register_is_asked_by_a_query() -> None:
    server = Server(add_search_attributes=rpc(RPCStatusCode.PERMISSION_DENIED))
    server.attributes.pop("OrderStatus")

    problem = await a_connection(server).check()

    assert problem is not None
    assert problem.reason == Reason.SEARCH_ATTRIBUTES_MISSING


async def test_the_operator_service_is_not_asked_by_an_operator_that_registers_nothing() -> None:
    """B23: where it is reserved for administrators, no order ever started."""
    server = Server()

    assert await a_connection(server, create=False).check() is None
    assert set(server.calls) == {"describe_namespace", "list_workflow_executions"}


@pytest.mark.parametrize("there", [True, False])
async def test_a_query_tells_whether_the_server_reports_failing_tasks(there: bool) -> None:
    server = Server()
    server.system = {TASK_PROBLEMS} if there else set()
    connection = a_connection(server, create=False)

    assert await connection.check() is None
    assert connection.reports_task_problems is there


@pytest.mark.parametrize("create", [True, False])
async def test_an_operator_that_may_not_list_workflows_says_so(create: bool) -> None:
    server = Server(list_workflow_executions=rpc(RPCStatusCode.PERMISSION_DENIED))

    problem = await a_connection(server, create=create).check()

    assert problem is not None
    assert problem.reason == Reason.TEMPORAL_PERMISSION_DENIED


async def test_the_servers_words_are_logged_when_they_change_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    """A status that repeats them would be written anew with every second that they count."""
    server = Server()
    connection = a_connection(server)
    problems = []
    for words in ("token expired 3 s ago", "token expired 5 s ago", "unknown key"):
        server.errors = {"describe_namespace": RPCError(words, RPCStatusCode.UNAUTHENTICATED, b"")}
        problems.append(await connection.check())

    told = [record.error for record in caplog.records if record.levelno == logging.WARNING]  # type: ignore[attr-defined]
    assert told == ["UNAUTHENTICATED: token expired 3 s ago", "UNAUTHENTICATED: unknown key"]
    assert len(set(problems)) == 1


async def test_a_client_that_is_replaced_is_asked_from_then_on() -> None:
    old, new = Server(describe_namespace=rpc(RPCStatusCode.UNAUTHENTICATED)), Server()
    connection = a_connection(old)
    await connection.check()

    connection.client = cast("Client", new)

    assert await connection.check() is None
    assert new.calls


async def test_a_key_that_is_missing_is_named_instead_of_the_servers_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("TEMPORAL_API_KEY_FILE", str(tmp_path / "api-key"))
    connection = await TemporalConnection.connect(create_search_attributes=False)
    connection.client = cast("Client", Server(describe_namespace=rpc(RPCStatusCode.PERMISSION_DENIED)))

    problem = await connection.check()

    assert problem is not None
    assert problem.reason == Reason.TEMPORAL_UNAUTHENTICATED
    assert "TEMPORAL_API_KEY_FILE" in problem.message
    assert connection.problem_of(rpc(RPCStatusCode.UNAUTHENTICATED)) == problem


async def test_a_connection_that_is_closed_names_what_the_server_may_ask_for() -> None:
    class Closing(Server):
        def _answer(self, call: str) -> None:  # noqa: ARG002
            raise RuntimeError("Failed client connect: hyper::Error(Canceled, connection closed)")

    problem = await a_connection(Closing()).check()

    assert problem is not None
    assert problem.reason == Reason.TEMPORAL_UNAVAILABLE
    assert "TEMPORAL_TLS_CLIENT_CERT_PATH" in problem.message


async def test_a_memo_is_read_with_the_keys_that_the_operator_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDER_ENCRYPTION_KEYS_FILE", str(ring_file(tmp_path, "first")))
    monkeypatch.setenv("ORDER_ENCRYPTION_WRITE", "true")
    connection = await TemporalConnection.connect(create_search_attributes=False)
    row = WorkflowExecutionInfo()
    row.execution.workflow_id = "order/shop/first/uid"
    (payload,) = await converter_of(connection.client, "order/shop/first/uid").encode(["abcd"])
    row.memo.fields["uid"].CopyFrom(payload)

    assert await memo_values(connection.client, row, ["uid"]) == {"uid": "abcd"}


async def test_a_memo_of_another_workflow_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_ENCRYPTION_KEYS_FILE", str(ring_file(tmp_path, "first")))
    monkeypatch.setenv("ORDER_ENCRYPTION_WRITE", "true")
    connection = await TemporalConnection.connect(create_search_attributes=False)
    row = WorkflowExecutionInfo()
    row.execution.workflow_id = "order/shop/second/uid"
    (payload,) = await converter_of(connection.client, "order/shop/first/uid").encode(["abcd"])
    row.memo.fields["uid"].CopyFrom(payload)

    with pytest.raises(Unreadable, match="encrypted for"):
        await memo_values(connection.client, row, ["uid"])


async def test_a_memo_without_its_key_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_ENCRYPTION_KEYS_FILE", str(ring_file(tmp_path, "lost")))
    monkeypatch.setenv("ORDER_ENCRYPTION_WRITE", "true")
    row = WorkflowExecutionInfo()
    row.execution.workflow_id = "order/shop/first/uid"
    writer = await TemporalConnection.connect(create_search_attributes=False)
    (payload,) = await converter_of(writer.client, "order/shop/first/uid").encode(["abcd"])
    row.memo.fields["uid"].CopyFrom(payload)
    monkeypatch.delenv("ORDER_ENCRYPTION_KEYS_FILE")
    monkeypatch.delenv("ORDER_ENCRYPTION_WRITE")
    reader = await TemporalConnection.connect(create_search_attributes=False)

    with pytest.raises(Unreadable, match="'lost'") as raised:
        await memo_values(reader.client, row, ["uid"])
    assert raised.value.lacks_key


async def test_missing_attributes_are_registered_only_where_that_is_allowed() -> None:
    server = Server()
    server.attributes.pop("OrderStatus")

    assert await a_connection(server).check() is None
    refused = await a_connection(server, create=False).check()

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


@pytest.mark.parametrize(
    "words",
    [
        "Namespace orders has no mapping defined for search attribute OrderCluster",
        "search attribute OrderCluster is not defined",
    ],
)
def test_a_search_attribute_that_temporal_does_not_know_yet_is_no_refusal_for_good(words: str) -> None:
    """A fresh installation's first StockItem was refused for ever: the attribute had been registered a second ago."""
    failed = RPCError(words, RPCStatusCode.INVALID_ARGUMENT, b"")

    problem = a_connection(Server()).problem_of(failed)

    assert (problem.reason, problem.stalled) == (Reason.SEARCH_ATTRIBUTES_MISSING, False)
    assert "lacks the search attributes OrderCluster: register" in problem.message


def test_a_call_that_gets_no_answer_is_an_outage() -> None:
    assert a_connection(Server()).problem_of(rpc(RPCStatusCode.DEADLINE_EXCEEDED)) is UNREACHABLE
