"""Edits of many orders at once: those of one namespace, or those that wait for a step, hold up nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from builders import UID, an_observation

from order_operator.orders.amender import MAX_IN_FLIGHT, OF_A_NAMESPACE, Amender
from order_operator.orders.amendment import Amendment, Group
from order_operator.orders.observation import Observation
from order_operator.temporal.connection import TemporalConnection
from order_workflows.contract import RunKey


class Temporal:
    """Takes every edit, and answers none before the end."""

    def __init__(self) -> None:
        self.client = self
        self.ends = asyncio.Event()
        self.sent: list[str] = []

    def get_workflow_handle(self, _id: str) -> "Temporal":
        return self

    async def start_update(self, _name: str, *, id: str, **_arguments: Any) -> "Temporal":  # noqa: A002
        self.sent.append(id)
        await self.ends.wait()
        return self

    async def result(self, **_arguments: Any) -> None:
        """An edit's."""


def an_order(namespace: str, number: int = 0) -> Observation:
    return an_observation(key=RunKey(namespace, f"order-{number}", f"{UID}-{namespace}-{number}"))


def an_edit(group: Group, name: str) -> Amendment:
    return Amendment(group, "an update", None, name)


class Edits:
    """Sent by one amender."""

    def __init__(self) -> None:
        self.temporal = Temporal()
        self._unanswered, self._all_answered = 0, asyncio.Event()
        self._amender = Amender(cast("TemporalConnection", self.temporal), self._answered, self._answered)

    def _answered(self, _uid: str) -> None:
        self._unanswered -= 1
        if not self._unanswered:
            self._all_answered.set()

    async def end(self) -> None:
        """So that no task is left."""
        self.temporal.ends.set()
        await asyncio.wait_for(self._all_answered.wait(), 5)

    async def send(self, run: Observation, *changes: Amendment) -> None:
        self._unanswered += len(changes)
        self._amender.send(run, changes, changes)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def edits() -> AsyncIterator[Edits]:
    sent = Edits()
    yield sent
    await sent.end()


async def test_many_edits_of_one_namespace_leave_those_of_others_their_turn(edits: Edits) -> None:
    for number in range(MAX_IN_FLIGHT + 10):
        await edits.send(an_order("busy", number), an_edit(Group.ADDRESS, f"busy/{number}"))
    assert len(edits.temporal.sent) == OF_A_NAMESPACE

    await edits.send(an_order("calm"), an_edit(Group.APPROVAL, "approval"))

    assert edits.temporal.sent[-1] == "approval"


async def test_a_decision_does_not_wait_behind_lines_that_wait_for_a_step(edits: Edits) -> None:
    for number in range(MAX_IN_FLIGHT + 10):
        await edits.send(an_order("busy", number), an_edit(Group.LINES, f"lines/{number}"))
    assert len(edits.temporal.sent) == OF_A_NAMESPACE

    await edits.send(an_order("busy"), an_edit(Group.APPROVAL, "approval"), an_edit(Group.CANCELLATION, "cancellation"))

    assert edits.temporal.sent[-2:] == ["approval", "cancellation"]
