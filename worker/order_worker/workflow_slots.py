"""When a worker asks Temporal for another workflow task.

Temporal hands out a burst of orders as fast as it is asked. Tasks that a worker takes faster than its ledger carries
them out only delay each other, until steps time out. At Temporal the orders of one namespace do not wait for those of
another.
"""

import asyncio
import time
from typing import Protocol

from temporalio.worker import (
    CustomSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
)

REQUESTS_FOR_NEW_ORDERS = 4
"""One for each partition that a task queue of Temporal has by default. A request waits at one of them, and an order
that waits at another is not brought to it after five seconds. With one request, orders began as much as six seconds
late, beside a request that waited for them."""
BEGINNING = 1
"""Orders that begin at a time, and only while the ledger is free. More of them leave less of it to orders under way,
and end no sooner: with two, while few transactions waited, an order beside a burst took twice as long.

From server 1.31 on, a request for orders under way is also answered with an order that begins, where such a one has
waited for five seconds. So all requests wait for the ledger, and not these alone."""
BEGINNING_SECONDS = 0.25
"""An order may begin when none has begun for so long, however busy the ledger is, and even where another has not got
past its first steps: these may wait for a company."""
LONGEST_WAIT_SECONDS = 1.0
"""For the ledger. A stuck ledger delays a task that does not need it by no more than this."""
LOOK_SECONDS = 0.01
"""Between two looks, about as long as a transaction takes."""


class _Permit(SlotPermit):
    """To ask for one task and to carry it out."""

    def __init__(self, *, begins: bool) -> None:
        self.begins = begins
        """Whether it is for an order that no worker carries: a new one, or one whose worker has gone."""


class Pace(Protocol):
    """Of a ledger."""

    def keeps_up(self) -> bool:
        """Whether no more than a few transactions wait for others."""

    def is_free(self) -> bool:
        """Whether one would be carried out at once."""


class WorkflowSlots(CustomSlotSupplier):
    """Slots for the workflow tasks of one worker. The SDK's threads call what is not asynchronous."""

    def __init__(self, slots: int, ledger: Pace) -> None:
        self._slots = slots
        self._ledger = ledger
        self._held: set[_Permit] = set()
        """Requests, and tasks that are carried out."""
        self._beginning: set[_Permit] = set()
        """Tasks with which orders begin."""
        self._began = 0.0
        """When a request for an order that begins was last allowed; monotonic."""

    @property
    def free(self) -> int:
        """Slots that neither a task nor a request has."""
        return self._slots - len(self._held)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """Waits until the worker may ask for a task."""
        permit = _Permit(begins=not ctx.is_sticky)
        asked = time.monotonic()
        while not self._may_ask(permit, asked):  # noqa: ASYNC110 - the SDK's threads give slots back
            await asyncio.sleep(LOOK_SECONDS)
        self._held.add(permit)
        if permit.begins:
            self._began = time.monotonic()
        return permit

    def _may_ask(self, permit: _Permit, asked: float) -> bool:
        now = time.monotonic()
        if not self.free:
            return False
        if permit.begins:
            room = len(self._beginning) < BEGINNING and self._ledger.is_free()
            return room or now - self._began >= BEGINNING_SECONDS
        return self._ledger.keeps_up() or now - asked >= LONGEST_WAIT_SECONDS

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:  # noqa: ARG002 - the SDK's signature
        """For tasks that come without a request. Orders do not."""
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """A request has brought a task."""
        if isinstance(ctx.permit, _Permit) and ctx.permit.begins:
            self._beginning.add(ctx.permit)

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        """The task is done, or the request brought none."""
        if isinstance(ctx.permit, _Permit):
            self._beginning.discard(ctx.permit)
            self._held.discard(ctx.permit)
