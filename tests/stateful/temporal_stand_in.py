"""One run of the workflow, as Temporal keeps it: what is durable when, and what is lost with a worker.

It keeps Temporal's promises and no others:

- an activity is tried until an attempt reports or its attempts are used up; attempts may overlap when one seems lost;
  results of lost attempts are dropped; timers fire when time passes;
- a message, a timer and the answer of an activity are durable when they arrive, and begin a workflow task;
- the answer of a *local* activity is durable with the end of the workflow task that ran it, as is the acceptance of an
  Update, and everything that the workflow asked for meanwhile;
- a workflow task ends when no local activity is under way, or earlier, when something else arrives meanwhile (the
  worker's heartbeat);
- a worker that dies in a workflow task (`lose_task`) leaves it to the next one, which replays what is durable; messages
  that came in meanwhile are handled first;
- a reset (`reset`) begins a new run from the record of the first tasks, and hands it the messages that came later, if
  wanted.

Which of this happens when is the driver's choice. That the promises are Temporal's own is what tests/workflow shows on
a real server.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from boundaries import Attempt, Ended
from temporalio.exceptions import ApplicationError, CancelledError
from violation import Violation
from workflow_loop import Call, WorkflowLoop

from order_domain.errors import OrderError, PermanentError
from order_domain.order import digest
from order_domain.snapshot import OrderSnapshot
from order_workflows.contract import OrderInput
from order_workflows.order_run import OrderRun
from order_workflows.order_workflow import OrderWorkflow

START = datetime(2026, 1, 1, tzinfo=UTC)


class TimedOut(OrderError):
    """Stands for Temporal's own TimeoutError."""


@dataclass(frozen=True)
class Message:
    """An Update, or a Signal."""

    name: str
    act: Callable[[OrderWorkflow], Awaitable[None] | None]
    validate: Callable[[OrderWorkflow], None] | None = None
    """Only an Update has one."""


@dataclass(frozen=True)
class Started:
    """The run begins."""


@dataclass(frozen=True)
class CancelRequested:
    """Temporal's own Cancel."""


@dataclass(frozen=True)
class Fired:
    """Timers, by number."""

    waits: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """What became of an activity."""

    call: int
    value: Any = None
    error: OrderError | None = None
    attempts: int = 0
    cancelled: bool = False


Event = Started | CancelRequested | Fired | Answer


@dataclass
class Task:
    """A workflow task, in the order in which it was handled."""

    at: datetime
    messages: list[Message] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    markers: list[Answer] = field(default_factory=list)
    """Of local activities."""


class Run:
    """One run of the workflow. `record` is durable, `loop` is in a worker's memory."""

    def __init__(
        self,
        order: OrderInput,
        *,
        made: list[Call] | None = None,
        now: datetime = START,
        earlier: "Run | None" = None,
    ) -> None:
        self.input = order
        self.made = made or []
        """All calls that were ever made, by earlier runs as well."""
        self.now = now
        self.earlier = earlier
        """The run before this one, which was terminated, was reset or went on as new."""
        self.record: list[Task] = []
        self._open: Task | None = None
        self._held_back = False
        self.loop = WorkflowLoop(order, now)

    @classmethod
    def begin(cls, order: OrderInput, **known: Any) -> "Run":
        """Its first task has begun."""
        run = cls(order, **known)
        run._begin([], [Started()])
        return run

    @property
    def workflow(self) -> OrderWorkflow:
        """In memory."""
        return self.loop.workflow

    @property
    def order(self) -> OrderRun:
        """What the workflow knows of its order."""
        return self.workflow._order

    @property
    def history(self) -> list[OrderRun]:
        """The same of all runs of this order, the first one first."""
        return [*(self.earlier.history if self.earlier else []), self.order]

    @property
    def chain(self) -> list["Run"]:
        """All runs of this order, the first one first."""
        return [*(self.earlier.chain if self.earlier else []), self]

    @property
    def calls(self) -> list[Call]:
        """Those without an answer."""
        return self.loop.open_calls

    @property
    def local_calls(self) -> list[Call]:
        """Those of them that are tried inside the workflow task."""
        return [call for call in self.calls if call.local]

    @property
    def ended(self) -> bool:
        """Whether the workflow has closed."""
        return self.loop.ended

    @property
    def timers(self) -> list[datetime]:
        """When the workflow goes on by itself. Beside activities only what is long counts: a short timer shows a step
        that lasts."""
        waits = [] if self.ended else self.loop.waits
        return [wait.deadline for wait in waits if wait.deadline is not None and (wait.long or not self.calls)]

    @property
    def accepted(self) -> list[str]:
        """Names of the messages that are durable, in order."""
        return [message.name for task in self.record for message in task.messages]

    # What happens to it.

    def tell(self, message: Message) -> None:
        """Send a message. What a validator refuses leaves nothing behind."""
        if not self.ended:
            self._begin([message], [])

    def request_cancel(self) -> None:
        """Temporal's own Cancel."""
        if not self.ended:
            self._begin([], [CancelRequested()])

    def pass_time(self) -> None:
        """Until the workflow has waited too long for something."""
        self.now = max(self.now, min(self.timers))
        due = [wait.number for wait in self.loop.waits if wait.deadline is not None and wait.deadline <= self.now]
        self._begin([], [Fired(tuple(due))])

    def schedule(self, call: Call) -> None:
        """An attempt of `call` begins. A remote one is only known to the server after the task that asked for it."""
        if not call.local:
            self._end_task()

    def report(self, call: Call, ended: Ended | None) -> None:
        """An attempt ended so, or is taken for lost (None). Without an answer here there will be another attempt; not
        so after the workflow has cancelled the activity."""
        call.attempts += 1
        call.in_flight = None
        if call.answer.done():
            return
        error = TimedOut("no answer in time") if ended is None else ended.error
        if error is None:
            assert ended is not None
            self._answer(call, Answer(call.number, value=ended.value))
        elif isinstance(error, PermanentError) or call.cancelled or call.attempts == call.max_attempts:
            self._answer(call, Answer(call.number, error=error, attempts=call.attempts))
        elif call.local and not any(other.in_flight for other in self.local_calls):
            self._end_task()  # it backs off, which is a timer

    def lose_task(self, messages: list[Message], *, cancel: bool, again: bool) -> list[Attempt]:
        """The worker dies in the task that it has under way. The next one repeats it, after these messages that came in
        meanwhile, or with Temporal's own Cancel; an Update that began the lost task is sent `again` or not. Returns the
        attempts of local activities that are still under way somewhere."""
        lost = self._open or Task(self.now)
        self._open, self._held_back = None, False
        before = self.loop
        self._rebuild(before.calls, under_way=True)
        before.close()
        left = [call.in_flight for call in before.open_calls if call.local and call.in_flight is not None]
        kept = [message for message in lost.messages if again or message.validate is None]
        events = [*lost.events, *([CancelRequested()] if cancel else [])]
        if kept or messages or events:
            self._begin([*kept, *messages], events)
        return left

    def hold_back(self) -> None:
        """The task that is under way does not end before it is lost."""
        self._held_back = True

    def reset(self, to: int, *, reapply: bool) -> "Run":
        """Somebody resets it to its task number `to`. Returns the new run; this one is terminated."""
        run = Run(self.input, made=[*self.made], now=self.now, earlier=self)
        run.record = self.record[:to]
        run._rebuild(self.loop.calls, under_way=False)
        tasks = self.record[to:] + ([self._open] if self._open is not None else [])
        first, later = tasks[0], tasks[1:]
        messages = [message for message in first.messages if reapply or message.validate is None]
        events = [*first.events]
        if reapply:
            messages += [message for task in later for message in task.messages]
            cancels = [event for task in later for event in task.events if isinstance(event, CancelRequested)]
            events += cancels[:1]
        run._begin(messages, events)
        return run

    def next(self) -> "Run":
        """Somebody terminates this one, and the operator starts another."""
        abandoned = self.order._publisher.last or OrderSnapshot()
        spec = self.input.spec
        if digest(self.order.lines) == abandoned.lines_digest:
            spec = spec.model_copy(update={"lines": self.order.lines})
        wanted = self.input.model_copy(update={"abandoned": abandoned, "spec": spec})
        return Run.begin(wanted, made=[*self.made], now=self.now, earlier=self)

    def close(self) -> None:
        """Nobody asks for it any more."""
        for run in self.chain:
            run.loop.close()

    # Tasks.

    def _begin(self, messages: list[Message], events: list[Event]) -> None:
        """A task with what has arrived; messages come first, as in Temporal's SDK."""
        self._end_task()
        self._open = task = Task(self.now, events=events)
        self.loop.now = self.now
        for message in messages:
            if message.validate is None or self.loop.accepts(message.validate):
                task.messages.append(message)
                self.loop.tell(message.act)
        self.loop.settle()
        for event in events:
            self._deliver(event)
        self.loop.settle()
        self._go_on()

    def _answer(self, call: Call, answer: Answer) -> None:
        if call.local:
            if self._open is None:
                self._open = Task(self.now)
            self._open.markers.append(answer)
            self._deliver(answer)
            self.loop.settle()
            self._go_on()
        else:
            self._begin([], [answer])

    def _go_on(self) -> None:
        """Answer cancelled local activities that have no attempt under way; end the task if nothing holds it open."""
        self._keep_calls()
        for call in self.local_calls:
            if call.stays_unknown:
                return self._answer(call, Answer(call.number, cancelled=True))
        if self.ended or not self.local_calls:
            self._end_task()
        return None

    def _end_task(self) -> None:
        if self._open is None or self._held_back:
            return
        self.record.append(self._open)
        self._open = None
        self.loop.tasks = len(self.record)
        if self.loop.continued is not None:
            self._continue_as_new(self.loop.continued)
            return
        unknown = [call for call in self.calls if not call.local and call.stays_unknown]
        if unknown:
            self._begin([], [Answer(call.number, cancelled=True) for call in unknown])

    def _continue_as_new(self, order: OrderInput) -> None:
        left = Run(self.input, made=self.made, now=self.now, earlier=self.earlier)
        left.record, left.loop = self.record, self.loop
        self.earlier, self.input, self.record = left, order, []
        self.loop = WorkflowLoop(order, self.now)
        self._begin([], [Started()])

    def _deliver(self, event: Event) -> None:
        match event:
            case Started():
                self.loop.start()
            case CancelRequested():
                self.loop.cancel()
            case Fired(numbers):
                for wait in self.loop.waits:
                    if wait.number in numbers and not wait.met.done():
                        self.loop.fire(wait)
            case Answer():
                _resolve(self.loop.calls[event.call], event)

    def _keep_calls(self) -> None:
        known = set(map(id, self.made))
        self.made += [call for call in self.loop.calls.values() if id(call) not in known]

    def _rebuild(self, before: dict[int, Call], *, under_way: bool) -> None:
        """Replay what is durable. `before` are the calls as they were made then; with `under_way`, remote ones without
        an answer go on, whichever worker waits for them."""
        self.loop = WorkflowLoop(self.input, START)
        for number, task in enumerate(self.record):
            self.loop.now, self.loop.tasks = task.at, number
            for message in task.messages:
                self.loop.tell(message.act)
            self.loop.settle()
            for event in task.events:
                self._deliver(event)
            self.loop.settle()
            for marker in task.markers:
                self._deliver(marker)
                self.loop.settle()
        self.loop.now, self.loop.tasks = self.now, len(self.record)
        for call in self.loop.calls.values():
            _repeats(call, before[call.number])
            if under_way and not call.local and not call.answer.done():
                call.in_flight = before[call.number].in_flight
            call.attempts = before[call.number].attempts if under_way or call.answer.done() else 0
        forgotten = {
            id(call)
            for call in before.values()
            if call.number in self.loop.calls or not (call.attempts or call.in_flight)
        }
        self.made = [call for call in self.made if id(call) not in forgotten]
        self._keep_calls()


def _repeats(call: Call, before: Call) -> None:
    if (call.activity, call.request) != (before.activity, before.request):
        raise Violation(f"I15: {call.activity} {call.request} replays {before.activity} {before.request}")


def _resolve(call: Call, answer: Answer) -> None:
    if call.answer.done():
        return
    if answer.cancelled:
        call.answer.set_exception(CancelledError("activity cancelled"))
    elif answer.error is not None:
        call.answer.set_exception(
            ApplicationError(
                str(answer.error),
                {"attempts": answer.attempts},
                type=type(answer.error).__name__,
                non_retryable=isinstance(answer.error, PermanentError),
            )
        )
    else:
        call.answer.set_result(answer.value)
