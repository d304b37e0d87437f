"""The code of a workflow in the memory of a worker: the event loop that Temporal's SDK runs it on, without a server.

It only remembers. What is durable, and what becomes of a call, is the business of `temporal_stand_in`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest import mock

from boundaries import Attempt
from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.workflow import ActivityCancellationType

from order_workflows.contract import OrderInput
from order_workflows.order_workflow import OrderWorkflow

LONG = timedelta(seconds=1)
"""Above the time after which a step that lasts is shown."""

LONG_HISTORY = 60
"""So many workflow tasks after which Temporal suggests a new run. A real one suggests it after thousands."""


FIRST_ATTEMPT = SimpleNamespace(heartbeat_details=())
"""What an activity can know of itself."""


class ContinuedAsNew(BaseException):
    """The workflow asks for a run of its own with this input."""

    def __init__(self, order: OrderInput) -> None:
        super().__init__(order.identity.uid)
        self.order = order


@dataclass(eq=False)
class Call:
    """An activity that the workflow waits for."""

    number: int
    activity: str
    """`<Port>.<method>`"""
    request: Any
    local: bool
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

    @property
    def stays_unknown(self) -> bool:
        """Cancelled between two attempts, and the workflow waits to hear that there is none."""
        return self.cancelled and self.in_flight is None and not self.answer.done()

    def cancel(self) -> None:
        """How it ends is told later, if the workflow wants to know."""
        self.cancelled = True
        if not self.answer.done() and not self.waits_when_cancelled:
            self.answer.set_exception(CancelledError("activity cancelled"))


@dataclass(eq=False)
class Wait:
    """A condition that the workflow waits for, or only the time to pass."""

    number: int
    holds: Callable[[], bool]
    met: asyncio.Future[None]
    deadline: datetime | None
    long: bool = False
    gives_up: bool = True
    """Otherwise there is no condition."""


class WorkflowLoop(asyncio.AbstractEventLoop):
    """One workflow in memory. It is given what happened, and then only waits for what it asked for."""

    def __init__(self, order: OrderInput, now: datetime, tasks: int = 0) -> None:
        self.now = self.began = now
        self.tasks = tasks
        """How many workflow tasks there were."""
        self.calls: dict[int, Call] = {}
        """All that were ever made, by number."""
        self.waits: list[Wait] = []
        self._waited = 0
        self._input = order
        self._ready: deque[tuple[Context, Callable[..., object], tuple[Any, ...], asyncio.Handle]] = deque()
        self._handlers: set[asyncio.Task[None]] = set()
        self._coroutines: list[tuple[Context, Coroutine[Any, Any, Any]]] = []
        self.main: asyncio.Task[Any] | None = None
        with self._running():
            self.workflow = OrderWorkflow(order)

    # What happens.

    def start(self) -> None:
        """The first event of all."""
        with self._running():
            self.main = self.create_task(self.workflow.run(self._input))

    def cancel(self) -> None:
        """Temporal's own Cancel."""
        assert self.main is not None
        self.call_soon(self.main.cancel)

    def accepts(self, validate: Callable[[OrderWorkflow], None]) -> bool:
        """Whether the validator of an Update lets it pass."""
        with self._running():
            try:
                validate(self.workflow)
            except ApplicationError:
                return False
        return True

    def tell(self, act: Callable[[OrderWorkflow], Awaitable[None] | None]) -> None:
        """Hand over a message."""
        with self._running():
            handler = act(self.workflow)
            if handler is not None:
                self._handle(handler)

    def fire(self, wait: Wait) -> None:
        """Its time has passed."""
        if wait.gives_up:
            wait.met.set_exception(TimeoutError())
        else:
            wait.met.set_result(None)

    def settle(self) -> None:
        """Run the workflow's code until it only waits. Raises what the workflow's own code raises."""
        with self._running():
            while self._ready or self._wake_waits():
                context, callback, arguments, handle = self._ready.popleft()
                if not handle.cancelled():
                    context.run(callback, *arguments)
        ends = ApplicationError | ContinuedAsNew | None
        if self.main is not None and self.main.done() and not isinstance(self.main.exception(), ends):
            self.main.result()

    def close(self) -> None:
        """Forget it: what it waits for never comes."""
        with self._running():
            for context, coroutine in reversed(self._coroutines):
                with suppress(RuntimeError):  # it is being awaited by one that is closed, too
                    context.run(coroutine.close)
        self._coroutines.clear()

    @property
    def ended(self) -> bool:
        """Whether the workflow's code has come to its end."""
        return self.main is not None and self.main.done()

    @property
    def continued(self) -> OrderInput | None:
        """The input of the next run that the workflow asks for."""
        end = self.main.exception() if self.main is not None and self.main.done() else None
        return end.order if isinstance(end, ContinuedAsNew) else None

    @property
    def open_calls(self) -> list[Call]:
        """Those without an answer."""
        return [call for call in self.calls.values() if not call.answer.done()]

    @contextmanager
    def _running(self) -> Iterator[None]:
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def _wake_waits(self) -> bool:
        self.waits = [wait for wait in self.waits if not wait.met.done()]
        for wait in self.waits:
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

    # What the workflow asks for.

    async def execute(
        self, function: Callable[..., object], request: object, config: dict[str, Any], local: bool
    ) -> Any:
        """A cancelled activity that must tell how it ended goes on; of any other the outcome stays unknown."""
        policy = config.get("retry_policy")
        call = Call(
            number=len(self.calls),
            activity=function.__qualname__,
            request=request,
            local=local,
            answer=self.create_future(),
            waits_when_cancelled=config.get("cancellation_type")
            is ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            max_attempts=policy.maximum_attempts if policy else 0,
        )
        self.calls[call.number] = call
        while True:
            try:
                return await asyncio.shield(call.answer)
            except asyncio.CancelledError:
                call.cancel()

    async def wait(self, holds: Callable[[], bool], timeout: timedelta | None, *, gives_up: bool = True) -> None:
        """Raises TimeoutError."""
        deadline = None if timeout is None else self.now + timeout
        long = timeout is not None and timeout > LONG
        wait = Wait(self._waited, holds, self.create_future(), deadline, long, gives_up)
        self._waited += 1
        self.waits.append(wait)
        await wait.met

    def all_handlers_finished(self) -> bool:
        """Whether every Update has its answer."""
        return not self._handlers

    def info(self) -> SimpleNamespace:
        """As far as the workflow asks for it."""
        return SimpleNamespace(
            run_id=f"{self._input.identity.uid}-run",
            start_time=self.began,
            get_current_history_length=lambda: 5 * self.tasks,
            get_current_history_size=lambda: 0,
            is_continue_as_new_suggested=lambda: self.tasks > LONG_HISTORY,
        )

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
        context = options.pop("context", None) or copy_context()
        self._coroutines.append((context, coro))
        return asyncio.Task(coro, loop=self, context=context, **options)

    def get_debug(self) -> bool:
        """Asked by every future."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Told of what an abandoned run leaves behind."""


def _loop() -> WorkflowLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WorkflowLoop)
    return loop


async def _execute(function: Callable[..., object], request: object, **config: Any) -> Any:
    return await _loop().execute(function, request, config, local=False)


async def _execute_local(function: Callable[..., object], request: object, **config: Any) -> Any:
    return await _loop().execute(function, request, config, local=True)


async def _wait_condition(
    holds: Callable[[], bool], *, timeout: timedelta | None = None, timeout_summary: str | None = None
) -> None:
    await _loop().wait(holds, timeout)


async def _sleep(duration: timedelta | float, *, summary: str | None = None) -> None:
    lasts = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
    await _loop().wait(lambda: False, lasts, gives_up=False)


def _continue_as_new(arg: OrderInput | None = None, *, args: Any = (), **_: Any) -> NoReturn:
    raise ContinuedAsNew(arg if arg is not None else args[0])


@contextmanager
def standing_in() -> Iterator[None]:
    """While it lasts, `temporalio.workflow` talks to the WorkflowLoop that is the running event loop. All orders began
    with today's code, so that `patched` is always true."""
    silent = logging.getLogger("order_workflows")
    silent.setLevel(logging.CRITICAL)
    with (
        mock.patch.multiple(activity, heartbeat=mock.DEFAULT, info=lambda: FIRST_ATTEMPT),
        mock.patch.multiple(
            workflow,
            execute_activity_method=_execute,
            execute_local_activity_method=_execute_local,
            wait_condition=_wait_condition,
            sleep=_sleep,
            now=lambda: _loop().now,
            patched=lambda _: True,
            info=lambda: _loop().info(),
            continue_as_new=_continue_as_new,
            all_handlers_finished=lambda: _loop().all_handlers_finished(),
            upsert_search_attributes=lambda _: None,
            upsert_memo=lambda _: None,
            set_current_details=lambda _: None,
            logger=silent,
        ),
    ):
        yield
