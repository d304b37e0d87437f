"""Writes to orders: who is asked before, how fast, and what the workflow answers."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import typer

from order_cli import clock
from order_cli.order import Order, visible
from order_cli.pace import Pace
from order_cli.problems import CommandError, ExitCode, NotAllowed, NotFound, TimedOut, UsageError
from order_cli.screens.order_line import sums
from order_cli.session import Session
from order_cli.vocabulary import ORDERS, SPEC_APPLIED
from order_cli.waits import answered, until

PER_SECOND = 5
"""Writes, where many orders are meant, so that a large selection holds up nobody else's orders."""

AT_ONCE = 10
"""Orders whose workflows are waited for at a time."""

HEARD_SECONDS = 0.5
"""Within this time a Ctrl-C is heard. One that comes just before the main thread begins to wait does not wake it."""

_NOT_ALLOWED_REASONS = {"OwnOrder", "OwnEdit", "ProofRequired", "RequesterUnknown", "EditorUnknown"}

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Names of orders, or namespace/name; or -l with a selector.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
Expect = Annotated[
    int | None, typer.Option("--expect", help="With -l and --yes: do nothing unless the selector finds so many orders.")
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the workflow's answer; 0 waits for none.")]
Patch = dict[str, Any] | list[dict[str, Any]]


class Step(NamedTuple):
    """One order and what is written to it."""

    order: Order
    patch: Patch


Outcome = tuple[Order, float]
"""As the workflow answered, and after how many seconds."""


def chosen(session: Session, names: Sequence[str] | None, meant: Callable[[Order], bool]) -> list[Order]:
    """The orders of these names; or those that the selector finds and that are `meant`. Raises UsageError, NotFound."""
    if names and session.flags.selector:
        raise UsageError("give names or -l, not both")
    if names:
        named = [session.order(name) for name in names]
        return list({order.key: order for order in named}.values())  # each once, however often it is named
    if not session.flags.selector:
        raise UsageError("which orders? Give their names, or -l with a selector")
    found = [order for order in session.orders() if meant(order)]
    if not found:
        raise NotFound("the selector finds no order that this could be done to")
    return found


def confirm(session: Session, orders: Sequence[Order], question: str, *, yes: bool, expect: int | None) -> bool:
    """Whether the caller wants it. Of many orders their number has to be typed as well; with --yes, that of a selection
    has to be given by --expect. Raises UsageError where it is another, or where nobody can be asked."""
    selected, count = bool(session.flags.selector), len(orders)
    if expect is not None and expect != count:
        raise UsageError(f"{count} orders are found and {expect} were expected: nothing was done")
    if session.flags.dry_run:
        return True
    if yes:
        if selected and expect is None:
            raise UsageError(f"the selector finds {count} orders: with --yes say --expect {count} as well")
        return True
    if not session.asked(question):
        return False
    if count == 1:
        return True
    return session.answer(f"{count} orders, {sums(orders)} in all. Type {count} to go on: ") == str(count)


def carry_out(
    session: Session, steps: Sequence[Step], done: Callable[[Order, float], str], would: str, timeout: float
) -> int:
    """Write them, at a bounded rate and several at a time, and say what became of each as it answers; the exit code.
    One that fails stops no other."""
    code, written = ExitCode.OK, []
    progress = _Progress(len(steps))
    try:
        for step, outcome in _outcomes(session, steps, timeout, progress):
            try:
                order, seconds = outcome.result()
                if session.flags.dry_run:
                    _say(session, f"would {would} {order.key} (dry run: nothing was written)")
                else:
                    _say(session, f"✓ {done(order, seconds)}", "good")
                written.append(order.raw)
            except CommandError as error:
                session.terminal.error(f"{step.order.key}: {error}" if len(steps) > 1 else str(error))
                code = code or error.code
            progress.answered += 1
    except KeyboardInterrupt:
        session.terminal.error(progress.told())
        raise
    if not session.terminal.for_people:
        session.terminal.objects(written, one=len(steps) == 1)
    return code


@dataclass
class _Progress:
    """How far the writes are, for who has enough of them."""

    all: int
    sent: int = 0
    answered: int = 0

    def told(self) -> str:
        """For the person who has pressed Ctrl-C."""
        if self.all == 1:
            waited = "it was sent or on its way, and its answer was not waited for: kubectl order why tells more"
            return f"interrupted: {waited if self.sent else 'nothing was sent'}"
        return (
            f"interrupted: of {self.all} orders {self.answered} have answered, {self.sent - self.answered} were sent "
            f"or on their way, {self.all - self.sent} were not sent"
        )


def _outcomes(
    session: Session, steps: Sequence[Step], timeout: float, progress: _Progress
) -> Iterator[tuple[Step, Future[Outcome]]]:
    """As they come. What has not begun when the caller has enough (Ctrl-C) never begins."""
    pool, pace = ThreadPoolExecutor(AT_ONCE), Pace(1 / PER_SECOND if len(steps) > PER_SECOND else 0.0)
    try:
        begun = {pool.submit(_carried_out, session, step, pace, timeout, progress): step for step in steps}
        awaited = set(begun)
        while awaited:
            ended, awaited = wait(awaited, HEARD_SECONDS, FIRST_COMPLETED)
            for outcome in ended:
                yield begun[outcome], outcome
    except KeyboardInterrupt:
        session.kubectl.given_up.set()  # for those that wait for their turn, or for an answer
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _carried_out(session: Session, step: Step, pace: Pace, timeout: float, progress: _Progress) -> Outcome:
    pace.turn()
    if session.kubectl.given_up.is_set():
        raise CommandError(f"{step.order.name}: not sent")
    progress.sent += 1
    order = _written(session, step)
    began = clock.monotonic()
    if not session.flags.dry_run:
        order = _answer(session, order, timeout)
    return order, clock.monotonic() - began


def _say(session: Session, text: str, style: str = "") -> None:
    if session.terminal.for_people:
        session.terminal.note(text, style)


def _written(session: Session, step: Step) -> Order:
    kind = "json" if isinstance(step.patch, list) else "merge"
    if session.flags.dry_run == "client":
        return step.order
    extra = ["--dry-run=server"] if session.flags.dry_run else []
    # By a file: addresses and reasons are nobody's business who lists the processes of this machine.
    arguments = ["patch", ORDERS, step.order.name, f"--type={kind}", "--patch-file=/dev/stdin", *extra]
    return Order(session.kubectl.json(*arguments, namespace=step.order.namespace, text=json.dumps(_bound(step))))


def _bound(step: Step) -> Patch:
    """The patch, for the order that was shown alone: the API server refuses it for another one of the same name."""
    uid = step.order.raw["metadata"]["uid"]
    if isinstance(step.patch, list):
        return [{"op": "test", "path": "/metadata/uid", "value": uid}, *step.patch]
    return {**step.patch, "metadata": {"uid": uid}}


def _answer(session: Session, order: Order, timeout: float) -> Order:
    if not timeout:
        return order
    try:
        seen = until(session, order, lambda each: answered(each, order.generation), timeout)
    except TimedOut:
        raise TimedOut(
            f"{order.name}: written, but no answer of the workflow within {clock.short(timeout)}; "
            f"kubectl order why {order.name} -n {order.namespace} tells more"
        ) from None
    edit = seen.condition(SPEC_APPLIED)
    if edit.get("status") == "False":
        reason, message = visible(edit.get("reason", "")), visible(edit.get("message", ""))
        kind = NotAllowed if reason in _NOT_ALLOWED_REASONS else CommandError
        raise kind(f"{order.name}: refused ({reason}): {message}")
    return seen


def after(seconds: float) -> str:
    """`after 0.6 s`."""
    return f"after {seconds:.1f} s"


def show(session: Session, text: str) -> None:
    """What the caller decides about, also where the answer itself is for a program."""
    if session.terminal.for_people:
        session.terminal.note(text)
    else:
        session.terminal.aside(text)


def ask_first(session: Session, yes: bool) -> None:
    """Raises UsageError, before anything is read, where a question will come that nobody can answer."""
    if not (yes or session.flags.dry_run or sys.stdin.isatty()):
        raise UsageError("nobody can be asked, for standard input is no terminal: add --yes if you are sure")
