"""What the operator remembers of an Update's answer, with a client that accepts everything."""

import asyncio
from typing import Any, cast

from builders import UID, an_observation

from order_operator.orders.amendment import Amender, Amendment, Group
from order_operator.temporal.connection import TemporalConnection


class Accepting:
    """Stands in for the connection, its client and every workflow's handle."""

    def __init__(self) -> None:
        self.client = self
        self.sent: list[str] = []
        self.answered = asyncio.Event()

    def get_workflow_handle(self, _id: str) -> "Accepting":
        return self

    async def execute_update(self, _name: str, *, id: str, **_argument: Any) -> None:  # noqa: A002
        self.sent.append(id)


def an_amender(server: Accepting) -> Amender:
    def answered(uid: str) -> None:
        assert uid == UID
        server.answered.set()

    return Amender(cast("TemporalConnection", server), answered)


SUSPEND = Amendment(Group.SUSPEND, "suspend", None, "suspend/1")
RETRY = Amendment(Group.RETRY, "retry", None, "retry/1", shown=False)


async def test_an_accepted_edit_counts_as_applying_until_the_order_shows_it() -> None:
    server = Accepting()
    amender = an_amender(server)

    amender.send(an_observation(), [SUSPEND])
    await asyncio.wait_for(server.answered.wait(), 5)

    assert amender.pending_seconds(UID) is not None


async def test_an_accepted_retry_is_done_with_and_not_sent_again() -> None:
    server = Accepting()
    amender = an_amender(server)

    amender.send(an_observation(), [RETRY])
    await asyncio.wait_for(server.answered.wait(), 5)
    amender.send(an_observation(), [RETRY])
    await asyncio.sleep(0)

    assert amender.pending_seconds(UID) is None
    assert server.sent == ["retry/1"]
