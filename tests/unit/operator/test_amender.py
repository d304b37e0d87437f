"""What the operator remembers of an Update's answer, with a client that answers as each test says."""

import asyncio
import time
from dataclasses import replace
from typing import Any, cast

import pytest
from builders import UID, an_observation
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.conditions import Reason
from order_operator.orders.amender import NO_HANDLER, Amender
from order_operator.orders.amendment import Amendment, Group
from order_operator.orders.edit_state import EditState
from order_operator.temporal.cancellation import TOLD_AGAIN_SECONDS
from order_operator.temporal.connection import TemporalConnection


class Server:
    """Stands in for the connection, its client and every workflow's handle."""

    def __init__(self, error: Exception | None = None) -> None:
        self.client = self
        self.error = error
        self.sent: list[str] = []
        self.answered = asyncio.Event()
        self.vanished: list[str] = []
        self.losses = 0

    def get_workflow_handle(self, _id: str) -> "Server":
        return self

    async def start_update(self, _name: str, *, id: str, **_arguments: Any) -> "Server":  # noqa: A002
        self.sent.append(id)
        if self.error is not None:
            raise self.error
        return self

    async def result(self, **_arguments: Any) -> None:
        """The Update's."""

    def lost(self) -> None:
        self.losses += 1


def an_amender(server: Server) -> Amender:
    def answered(uid: str) -> None:
        assert uid == UID
        server.answered.set()

    return Amender(cast("TemporalConnection", server), answered, server.vanished.append)


SUSPEND = Amendment(Group.SUSPEND, "suspend", None, "suspend/1")
RUN = an_observation()
RETRY = Amendment(Group.RETRY, "retry", None, "retry/1", shown=False)


def rpc(status: RPCStatusCode) -> RPCError:
    return RPCError("no", status, b"")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("order_operator.orders.amender.MAX_PAUSE_SECONDS", 0.0)


async def after(server: Server, change: Amendment = SUSPEND) -> EditState:
    amender = an_amender(server)
    amender.send(RUN, [change], [change])
    await asyncio.wait_for(server.answered.wait(), 5)
    return amender.state(UID, RUN.run_id)


async def test_an_accepted_edit_counts_as_applying_until_the_order_shows_it() -> None:
    state = await after(Server())

    assert not state.is_due(SUSPEND, time.monotonic())
    assert SUSPEND.update_id in state.sent_at


async def test_a_process_that_does_not_lead_any_more_sends_nothing() -> None:
    """Frozen, and woken after another led for a while, it sent an approval that had been taken back."""
    server = Server()
    amender = Amender(cast("TemporalConnection", server), lambda _: server.answered.set(), print, lambda: False)

    amender.send(RUN, [SUSPEND], [SUSPEND])
    await asyncio.wait_for(server.answered.wait(), 5)

    assert server.sent == []


async def test_an_accepted_retry_is_done_with_and_not_sent_again() -> None:
    state = await after(Server(), RETRY)

    assert not state.is_due(RETRY, time.monotonic())
    assert state.sent_at == {}


APPROVE = Amendment(Group.APPROVAL, "approve", None, "approval/1")


@pytest.mark.parametrize("change", [APPROVE, RETRY])
async def test_an_accepted_edit_without_effect_is_sent_again_under_its_id_after_ten_minutes(
    change: Amendment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal was restored to before it, and no row had shown it: the decision was awaited until a restart."""
    server = Server()
    amender = an_amender(server)
    amender.send(RUN, [change], [change])
    await asyncio.wait_for(server.answered.wait(), 5)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + TOLD_AGAIN_SECONDS)
    assert amender.state(UID, RUN.run_id).is_due(change, time.monotonic())

    server.answered.clear()
    amender.send(RUN, [change], [change])
    await asyncio.wait_for(server.answered.wait(), 5)

    assert not amender.state(UID, RUN.run_id).is_due(change, time.monotonic())
    assert server.sent == [change.update_id] * 2


async def test_an_edit_that_is_sent_again_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """The workflow keeps to its first answer; a look from before it may have the edit sent once more."""
    server = Server()
    amender = an_amender(server)
    caplog.set_level("INFO")

    for change in (SUSPEND, RETRY, SUSPEND):
        server.answered.clear()
        amender.send(RUN, [change], [change])
        await asyncio.wait_for(server.answered.wait(), 5)

    assert len(server.sent) == 3
    told = [vars(record)["group"] for record in caplog.records if record.message == "edit accepted"]
    assert told == [Group.SUSPEND, Group.RETRY]


async def test_a_refused_edit_is_kept_with_its_reason() -> None:
    refused = WorkflowUpdateFailedError(ApplicationError("too late", type="AlreadyShipped"))

    state = await after(Server(refused))

    (refusal,) = state.refused.values()
    assert (refusal.group, refusal.reason, refusal.message) == (Group.SUSPEND, "AlreadyShipped", "too late")


NO_SUCH_UPDATE = WorkflowUpdateFailedError(
    ApplicationError("Update handler for 'suspend' expected but not found", type=NO_HANDLER)
)


async def test_an_edit_that_an_older_worker_does_not_know_is_sent_again_ever_more_rarely() -> None:
    server = Server(NO_SUCH_UPDATE)
    amender = an_amender(server)
    pauses = []
    for _ in range(3):
        server.answered.clear()
        asked = time.monotonic()
        amender.send(RUN, [SUSPEND], [SUSPEND])
        await asyncio.wait_for(server.answered.wait(), 5)
        (refusal,) = amender.state(UID, RUN.run_id).refused.values()
        pauses.append((refusal.again_at or 0.0) - asked)

    assert refusal.reason == Reason.WORKER_TOO_OLD
    assert [15 <= pauses[0] <= 31, 30 <= pauses[1] <= 61, 60 <= pauses[2] <= 121] == [True, True, True]
    assert not amender.state(UID, RUN.run_id).is_due(SUSPEND, asked)
    assert amender.state(UID, RUN.run_id).is_due(SUSPEND, asked + 121)


async def test_an_edit_that_a_newer_worker_accepts_is_refused_no_more() -> None:
    server = Server(NO_SUCH_UPDATE)
    amender = an_amender(server)
    for answer in (NO_SUCH_UPDATE, None):
        server.error = answer
        server.answered.clear()
        amender.send(RUN, [SUSPEND], [SUSPEND])
        await asyncio.wait_for(server.answered.wait(), 5)

    assert amender.state(UID, RUN.run_id).refused == {}


async def test_an_edit_that_no_worker_answers_is_sent_again_and_nothing_else_happens() -> None:
    server = Server(WorkflowUpdateRPCTimeoutOrCancelledError())

    state = await after(server)

    assert state.is_due(SUSPEND, time.monotonic())
    assert (state.refused, server.vanished, server.losses) == ({}, [], 0)


async def test_an_edit_of_a_workflow_that_temporal_does_not_find_casts_doubt_on_what_is_known() -> None:
    server = Server(rpc(RPCStatusCode.NOT_FOUND))

    await after(server)

    assert server.vanished == [UID]


async def test_an_edit_that_temporal_refuses_for_good_is_not_sent_for_ever() -> None:
    state = await after(Server(rpc(RPCStatusCode.INVALID_ARGUMENT)))

    (refusal,) = state.refused.values()
    assert refusal.reason == "TemporalRefused"


@pytest.mark.parametrize("status", [RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.UNIMPLEMENTED])
async def test_an_edit_that_the_server_does_not_take_now_is_sent_again_ever_more_rarely(status: RPCStatusCode) -> None:
    """An approval that met a namespace under failover was never sent again, and its order expired."""
    asked = time.monotonic()

    state = await after(Server(rpc(status)))

    (refusal,) = state.refused.values()
    assert refusal.reason == "TemporalRefused"
    assert not state.is_due(SUSPEND, asked)
    assert state.is_due(SUSPEND, asked + 31)


@pytest.mark.parametrize(("status", "losses"), [(RPCStatusCode.UNAVAILABLE, 1), (RPCStatusCode.RESOURCE_EXHAUSTED, 0)])
async def test_only_an_unreachable_server_counts_as_lost(status: RPCStatusCode, losses: int) -> None:
    server = Server(rpc(status))

    state = await after(server)

    assert server.losses == losses
    assert state.is_due(SUSPEND, time.monotonic())


async def test_answers_to_what_is_not_wanted_any_more_are_forgotten() -> None:
    server = Server()
    amender = an_amender(server)
    amender.send(RUN, [SUSPEND], [SUSPEND])
    await asyncio.wait_for(server.answered.wait(), 5)

    amender.send(RUN, [], [])

    assert amender.state(UID, RUN.run_id).is_due(SUSPEND, time.monotonic())


async def test_that_an_edit_was_answered_before_is_kept_in_mind_while_it_is_sent_under_another_id() -> None:
    """Else it is sent under the first id once more, and so on without end."""
    server = Server()
    amender = an_amender(server)
    own = replace(SUSPEND, update_id="suspend/1/seq-17", repeats=SUSPEND.update_id)
    for change in (SUSPEND, own):
        server.answered.clear()
        amender.send(RUN, [change], [change])
        await asyncio.wait_for(server.answered.wait(), 5)

    state = amender.state(UID, RUN.run_id)
    assert state.as_sent(SUSPEND) == own
    assert state.accepted.keys() == {SUSPEND.update_id, own.update_id}


async def test_what_one_run_has_accepted_is_sent_to_the_next_one_again() -> None:
    """B46: Temporal had lost the history, and the approval was never sent to the run that asked for it anew."""
    server = Server()
    amender = an_amender(server)
    amender.send(RUN, [SUSPEND], [SUSPEND])
    await asyncio.wait_for(server.answered.wait(), 5)

    assert amender.state(UID, "the-next-run").is_due(SUSPEND, time.monotonic())


async def test_an_edit_in_anybodys_encoding_is_not_sent_in_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("order_operator.orders.amender.MAX_PAUSE_SECONDS", 60.0)
    monkeypatch.setattr(asyncio, "sleep", sleep)

    await after(Server(KeyError("binary/aes")))

    assert len(pauses) == 1
    assert pauses[0] > 0


async def test_the_refusal_of_a_decision_for_its_decider_outlives_the_next_edit() -> None:
    """Until the status shows it, nobody else knows."""
    server = Server(WorkflowUpdateFailedError(ApplicationError("bob edited this last", type="OwnEdit")))
    amender = an_amender(server)
    decision = Amendment(Group.APPROVAL, "approve", None, "approval/digest/1")
    amender.send(RUN, [decision], [decision])
    await server.answered.wait()

    amender.send(RUN, [SUSPEND], [SUSPEND])

    assert decision.update_id in amender.state(UID, RUN.run_id).refused
