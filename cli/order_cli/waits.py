"""Waits for one order: until it has ended, or until the workflow has answered an edit."""

from collections.abc import Callable

from order_cli import clock
from order_cli.live import Changes
from order_cli.order import Order
from order_cli.problems import CommandError, EndedOtherwise, TimedOut
from order_cli.sentences import next_thing
from order_cli.session import Session
from order_cli.vocabulary import COMPLETED, ORDERS, SPEC_APPLIED

_LOOK_SECONDS = 0.5


def until(session: Session, order: Order, holds: Callable[[Order], bool], seconds: float | None) -> Order:
    """The order once `holds` is true of it; as it is if that is so already. Raises TimedOut, and CommandError where the
    command has ended meanwhile."""
    if holds(order):
        return order
    deadline = None if seconds is None else clock.monotonic() + seconds
    with Changes(session, [ORDERS, order.name], order.namespace, patient=True) as changes:
        while True:
            changes.take(
                _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, max(0.01, deadline - clock.monotonic()))
            )
            if session.kubectl.given_up.is_set():
                raise CommandError(f"{order.name}: its answer was not waited for")
            seen = changes.orders.get(order.key)
            if seen is not None and seen.uid == order.uid and holds(seen):
                return seen
            if deadline is not None and clock.monotonic() >= deadline:
                last = seen or order
                away = f" ({changes.problem})" if changes.problem else ""
                raise TimedOut(f"{order.name}: not within {clock.short(seconds or 0)}; it is at {standing(last)}{away}")


def standing(order: Order) -> str:
    """Where it is and why, in a few words."""
    return f"{order.order_status if order.order_status != '-' else order.phase}: {next_thing(order, clock.now())}"


def answered(order: Order, generation: int) -> bool:
    """Whether the workflow has taken this generation, or refused it."""
    edit = order.condition(SPEC_APPLIED)
    return (
        int(order.status.get("observedGeneration", 0)) >= generation
        and int(edit.get("observedGeneration", 0)) >= generation
        and edit.get("status") in ("True", "False")
    )


def judge_end(order: Order) -> str:
    """How it ended, as a sentence. Raises EndedOtherwise unless it completed."""
    took = ""
    if order.started and order.ended:
        took = f" after {clock.lasted(order.started, order.ended)}"
    told = next_thing(order, clock.now())
    if order.phase == COMPLETED:
        return f"{order.name} completed{took}{f': {told}' if told != 'completed' else ''}"
    raise EndedOtherwise(f"{order.name} ended as {order.phase}{took}: {told}")
