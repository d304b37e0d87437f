"""A namespace that Temporal does not have says nothing of the runs in it."""

from typing import Any, cast

import pytest
from builders import an_observation
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.conditions import Reason
from order_operator.temporal.cancellation import request_cancel
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.runs import find

NO_RUN = RPCError("workflow not found", RPCStatusCode.NOT_FOUND, b"")


def no_namespace() -> RPCError:
    status = GrpcStatus(code=RPCStatusCode.NOT_FOUND.value)
    status.details.add().Pack(NamespaceNotFoundFailure(namespace="shop"))
    return RPCError("Namespace shop is not found.", RPCStatusCode.NOT_FOUND, status.SerializeToString())


class Server:
    """Client and handle; answers everything with this error."""

    namespace = "shop"

    def __init__(self, answer: RPCError) -> None:
        self._answer = answer

    def get_workflow_handle(self, *_: Any, **__: Any) -> "Server":
        return self

    async def describe(self, **_: Any) -> None:
        raise self._answer

    async def cancel(self, **_: Any) -> None:
        raise self._answer


def answering(answer: RPCError) -> Client:
    return cast("Client", Server(answer))


async def test_a_run_that_temporal_does_not_have_is_no_run() -> None:
    assert await find(answering(NO_RUN), "order/shop/order-1/u1") is None
    assert not await request_cancel(answering(NO_RUN), an_observation())


async def test_a_namespace_that_temporal_does_not_have_is_no_answer() -> None:
    """It was taken for a lost history: a finalizer could come off, and an order be begun anew."""
    with pytest.raises(RPCError, match="Namespace"):
        await find(answering(no_namespace()), "order/shop/order-1/u1")
    with pytest.raises(RPCError, match="Namespace"):
        await request_cancel(answering(no_namespace()), an_observation())


async def test_a_call_that_finds_no_namespace_is_no_refusal_of_the_order() -> None:
    connection = TemporalConnection(answering(no_namespace()), create_search_attributes=False)

    problem = connection.problem_of(no_namespace())

    assert (problem.reason, problem.stalled) == (Reason.TEMPORAL_NAMESPACE_NOT_FOUND, False)
