"""Runs the real OrderWorkflow without a server: what the workflow asks of Temporal, this module does, step by step.

It keeps Temporal's promises and no others: an activity is tried until an attempt reports or its attempts are used up,
attempts may overlap when one seems lost, results of lost attempts are dropped, timers fire when time passes. Which of
this happens when is the driver's choice. That the promises are Temporal's own is what tests/workflow shows on a real
server.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from boundaries import Attempt, Ended
from temporalio import workflow
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.workflow import ActivityCancellationType

from order_domain.errors import OrderError, PermanentError
from order_domain.order import digest
from order_domain.snapshot import OrderSnapshot
from order_workflows.contract import OrderInput
from order_workflows.order_run import OrderRun
from order_workflows.order_workflow import OrderWorkflow

START = datetime(2026, 1, 1, tzinfo=UTC)


class TimedOut(OrderError):
    """Stands for Temporal's own TimeoutError."""


@dataclass(eq=False)
class Call:
    """An activity that the workflow waits for."""

    activity: str
    """`<Port>.<method>`"""
    request: Any
    answer: asyncio.Future[Any]
    waits_when_cancelled: bool
    max_attempts: int
    """0: without limit."""
    in_flight: Attempt | None = None
    attempts: int = 0
    cancelled: bool = False

    @property
    def goes_outside(self) -> bool:
        """Whether money or parcels move."""
        return self.activity.startswith(("PaymentActivities.", "ShippingActivities."))

    def report(self, ended: Ended | None) -> None:
        """An attempt ended so, or is taken for lost (None). Without an answer here there will be another attempt; not
        so after the workflow has cancelled the activity."""
        self.attempts += 1
        self.in_flight = None
        error = TimedOut("no answer in time") if ended is None else ended.error
        if self.answer.done():
            return
        if error is None:
            assert ended is not None
            self.answer.set_result(ended.value)
        elif isinstance(error, PermanentError) or self.cancelled or self.attempts == self.max_attempts:
            self.answer.set_exception(
                ApplicationError(str(error), {"attempts": self.attempts}, type=type(error).__name__)
            )

    def cancel(self) -> None:
        """What is under way is waited for, if the workflow wants to know how it ends."""
        self.cancelled = True
        if not self.answer.done() and not (self.waits_when_cancelled and self.in_flight):
            self.answer.set_exception(CancelledError("activity cancelled"))


@dataclass(eq=False)
class Wait:
    """A condition that the workflow waits for."""

    holds: Callable[[], bool]
    met: asyncio.Future[None]
    deadline: datetime | None
    gives_up: bool = True
    """Otherwise there is no condition, only the time to pass."""


@dataclass(eq=False)
class Run(asyncio.AbstractEventLoop):
    """One run of the workflow, and its event loop, as in Temporal's SDK."""

    input: OrderInput
    calls: list[Call] = field(default_factory=list)
    """Those without an answer."""
    made: list[Call] = field(default_factory=list)
    """All that were ever made, by earlier runs as well."""
    now: datetime = START
    earlier: "Run | None" = None
    """The run that was terminated in the middle of this order."""

    def __post_init__(self) -> None:
        self._ready: deque[tuple[Context, Callable[..., object], tuple[Any, ...], asyncio.Handle]] = deque()
        self._waits: list[Wait] = []
        self._handlers: set[asyncio.Task[None]] = set()
        with self._running():
            self.workflow = OrderWorkflow(self.input)
            self._main = self.create_task(self.workflow.run(self.input))
        self.settle()

    @property
    def order(self) -> OrderRun:
        """What the workflow knows of its order."""
        return self.workflow._order

    @property
    def history(self) -> list[OrderRun]:
        """The same of all runs of this order, the first one first."""
        return [*(self.earlier.history if self.earlier else []), self.order]

    def next(self) -> "Run":
        """Somebody terminates this one, and the operator starts another."""
        abandoned = self.order._publisher.last or OrderSnapshot()
        spec = self.input.spec
        if digest(self.order.lines) == abandoned.lines_digest:
            spec = spec.model_copy(update={"lines": self.order.lines})
        wanted = self.input.model_copy(update={"abandoned": abandoned, "spec": spec})
        return Run(wanted, made=[*self.made], now=self.now, earlier=self)

    @property
    def ended(self) -> bool:
        """Whether the workflow has closed."""
        return self._main.done()

    @property
    def has_timer(self) -> bool:
        """Whether the workflow waits for something no longer than a while."""
        return any(wait.deadline is not None and wait.gives_up for wait in self._waits)

    def ask(self, validate: Callable[[], None], act: Callable[[], Awaitable[None] | None]) -> bool:
        """Send an Update; False if its validator refuses it."""
        if self.ended:
            return False
        with self._running():
            try:
                validate()
            except ApplicationError:
                return False
            handler = act()
            if handler is not None:
                self._handle(handler)
        self.settle()
        return True

    def signal(self, act: Callable[[], None]) -> None:
        """Send a signal."""
        if not self.ended:
            with self._running():
                act()
            self.settle()

    def pass_time(self) -> None:
        """Until the workflow has waited too long for something."""
        self.now = min(wait.deadline for wait in self._waits if wait.deadline is not None and wait.gives_up)
        for wait in self._waits:
            if wait.deadline is not None and wait.deadline <= self.now:
                if wait.gives_up:
                    wait.met.set_exception(TimeoutError())
                else:
                    wait.met.set_result(None)
        self.settle()

    def settle(self) -> None:
        """Run the workflow's code until it only waits. Raises what the workflow's own code raises."""
        with self._running():
            while self._ready or self._wake_waits():
                context, callback, arguments, handle = self._ready.popleft()
                if not handle.cancelled():
                    context.run(callback, *arguments)
        self.calls = [call for call in self.calls if not call.answer.done()]
        if self._main.done() and not isinstance(self._main.exception(), ApplicationError | None):
            self._main.result()

    @contextmanager
    def _running(self) -> Iterator[None]:
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def _wake_waits(self) -> bool:
        self._waits = [wait for wait in self._waits if not wait.met.done()]
        for wait in self._waits:
            if wait.holds():
                wait.met.set_result(None)
        return bool(self._ready)

    def _handle(self, handler: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await handler
            except ApplicationError:
                return  # the answer to the Update

        task = self.create_task(run())
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    # What the workflow asks of Temporal.

    async def execute(self, activity: Callable[..., object], request: object, config: dict[str, Any]) -> Any:
        """A cancelled activity that must tell how it ended goes on; of any other the outcome stays unknown."""
        policy = config.get("retry_policy")
        call = Call(
            activity=activity.__qualname__,
            request=request,
            answer=self.create_future(),
            waits_when_cancelled=config.get("cancellation_type")
            is ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            max_attempts=policy.maximum_attempts if policy else 0,
        )
        self.calls.append(call)
        self.made.append(call)
        while True:
            try:
                return await asyncio.shield(call.answer)
            except asyncio.CancelledError:
                call.cancel()

    async def wait(self, holds: Callable[[], bool], timeout: timedelta | None) -> None:
        """Raises TimeoutError."""
        wait = Wait(holds, self.create_future(), None if timeout is None else self.now + timeout)
        self._waits.append(wait)
        await wait.met

    async def sleep(self, duration: timedelta) -> None:
        """Until so much time has passed."""
        wait = Wait(lambda: False, self.create_future(), self.now + duration, gives_up=False)
        self._waits.append(wait)
        await wait.met

    def all_handlers_finished(self) -> bool:
        """Whether every Update has its answer."""
        return not self._handlers

    # The event loop.

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """In the order of the calls."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((context or copy_context(), callback, args, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        """Of this loop."""
        return asyncio.Task(coro, loop=self, **options)

    def get_debug(self) -> bool:
        """Asked by every future."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Told of what an abandoned run leaves behind."""


def _run() -> Run:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Run)
    return loop


async def _execute(activity: Callable[..., object], request: object, **config: Any) -> Any:
    return await _run().execute(activity, request, config)


async def _wait_condition(
    holds: Callable[[], bool], *, timeout: timedelta | None = None, timeout_summary: str | None = None
) -> None:
    await _run().wait(holds, timeout)


async def _sleep(duration: timedelta, *, summary: str | None = None) -> None:
    await _run().sleep(duration)


@contextmanager
def standing_in() -> Iterator[None]:
    """While it lasts, `temporalio.workflow` talks to the Run that is the running event loop."""
    silent = logging.getLogger("order_workflows")
    silent.setLevel(logging.CRITICAL)
    with mock.patch.multiple(
        workflow,
        execute_activity_method=_execute,
        execute_local_activity_method=_execute,
        wait_condition=_wait_condition,
        sleep=_sleep,
        now=lambda: _run().now,
        all_handlers_finished=lambda: _run().all_handlers_finished(),
        upsert_search_attributes=lambda _: None,
        upsert_memo=lambda _: None,
        logger=silent,
    ):
        yield
