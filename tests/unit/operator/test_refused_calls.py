"""Temporal lets the operator look, and refuses to start or to cancel: by the role of a key, or a limit of one call."""

import logging
from typing import Any, cast

import pytest
from builders import a_snapshot, an_observation
from one_order_shop import ID, Shop, delete, reason, waiting
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.conditions import Reason
from order_operator.orders import reconcile
from order_operator.orders.reconcile import TOLD_AFTER_CALLS
from order_operator.temporal.connection import TemporalConnection

SAID = [
    (RPCStatusCode.PERMISSION_DENIED, Reason.TEMPORAL_PERMISSION_DENIED),
    (RPCStatusCode.RESOURCE_EXHAUSTED, Reason.TEMPORAL_RATE_LIMITED),
    (RPCStatusCode.FAILED_PRECONDITION, Reason.TEMPORAL_UNAVAILABLE),
]


@pytest.fixture
def refusing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Its problems have their names."""
    named = TemporalConnection(cast("Client", shop.temporal), create_search_attributes=False)
    monkeypatch.setattr(shop.temporal, "problem_of", named.problem_of)
    return shop


def refuse_starts(monkeypatch: pytest.MonkeyPatch, code: RPCStatusCode) -> None:
    async def refuse(*_: object) -> None:
        raise RPCError("Request unauthorized.", code, b"")

    monkeypatch.setattr(reconcile, "ensure_started", refuse)


@pytest.mark.parametrize(("code", "said"), SAID)
async def test_an_order_whose_start_is_refused_again_and_again_says_so_once(
    refusing: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: RPCStatusCode, said: Reason
) -> None:
    """It had no status, and nothing was in the log."""
    caplog.set_level(logging.WARNING)
    refuse_starts(monkeypatch, code)
    refusing.orders.intake.put(refusing.api.store())

    for _ in range(TOLD_AFTER_CALLS + 5):
        assert await refusing.look() is not None

    assert refusing.api.body is not None
    assert reason(refusing.api.body["status"], "Ready") == ("Unknown", said)
    assert refusing.api.writes == ["status"]
    assert [record.__dict__["reason"] for record in caplog.records if "refuses a call" in record.message] == [said]


async def test_an_order_that_was_refused_goes_on_and_says_so_with_the_next_call_that_gets_through(
    refusing: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_started = reconcile.ensure_started
    refuse_starts(monkeypatch, RPCStatusCode.PERMISSION_DENIED)
    refusing.orders.intake.put(refusing.api.store())
    for _ in range(TOLD_AFTER_CALLS):
        await refusing.look()
    monkeypatch.setattr(reconcile, "ensure_started", ensure_started)

    await refusing.look()

    assert refusing.temporal.calls.count("start") == 1
    assert refusing.api.body is not None
    refusing.observe(an_observation(workflow_id=ID, snapshot=a_snapshot(status="Await Approval", seq=2)))
    await refusing.look()
    assert reason(refusing.api.body["status"], "Ready") == ("True", Reason.WAITING)


async def test_a_deleted_order_whose_cancellation_is_refused_says_so(
    refusing: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on being Ready and waiting for its approval."""
    await waiting(refusing)

    async def refuse(**_: Any) -> None:
        raise RPCError("Request unauthorized.", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(refusing.temporal, "cancel", refuse)
    await delete(refusing)
    for _ in range(TOLD_AFTER_CALLS):
        await refusing.look()

    assert refusing.api.body is not None
    assert reason(refusing.api.body["status"], "Reconciling") == ("True", Reason.TEMPORAL_PERMISSION_DENIED)


async def test_while_temporal_itself_is_away_a_failed_call_writes_nothing(
    refusing: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is told once, as the connection's own problem."""
    refuse_starts(monkeypatch, RPCStatusCode.UNAVAILABLE)
    refusing.orders.intake.put(refusing.api.store())

    for _ in range(TOLD_AFTER_CALLS - 1):
        await refusing.look()

    assert refusing.api.writes == []
