"""Edits that get no answer: they are sent again, ever more rarely, and nothing of it fails unseen."""

import asyncio
import gc
from typing import Any

import pytest
from builders import an_observation
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCStatusCode
from test_amender import SUSPEND, Server, an_amender, rpc

from order_codec.undecodable import Undecodable


async def test_an_edit_that_no_worker_answers_fails_no_task_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """B25: "Task exception was never retrieved", with a traceback, every ten seconds and for each order."""
    monkeypatch.setattr("order_operator.orders.amender.MAX_PAUSE_SECONDS", 0.0)
    server = Server(WorkflowUpdateRPCTimeoutOrCancelledError())
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    an_amender(server).send(an_observation(), [SUSPEND], [SUSPEND])
    await asyncio.wait_for(server.answered.wait(), 5)
    await asyncio.sleep(0)  # the task is through
    gc.collect()

    assert [context["message"] for context in unseen] == []


@pytest.mark.parametrize(
    "error",
    [
        rpc(RPCStatusCode.UNAVAILABLE),
        rpc(RPCStatusCode.RESOURCE_EXHAUSTED),
        Undecodable("another's payload"),
        WorkflowUpdateRPCTimeoutOrCancelledError(),
    ],
    ids=["away", "limited", "unreadable", "unanswered"],
)
async def test_an_edit_that_temporal_does_not_take_is_sent_again_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """B30: it was sent every second, for each order, by a hundred at once."""
    server = Server(error)
    amender = an_amender(server)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(3):
        server.answered.clear()
        amender.send(an_observation(), [SUSPEND], [SUSPEND])
        await asyncio.wait_for(server.answered.wait(), 5)

    assert [0.5 <= pauses[0] <= 1.0, 1.0 <= pauses[1] <= 2.0, 2.0 <= pauses[2] <= 4.0] == [True, True, True]
