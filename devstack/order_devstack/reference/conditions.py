"""The reference of conditions, reasons, Events, statuses and errors: what enums and errors say of themselves."""

from collections.abc import Iterable, Iterator
from inspect import getdoc

from order_devstack.reference.markdown import page, table
from order_domain.errors import OrderError, PermanentError, TransientError
from order_domain.explained import Explained
from order_domain.refusals import EndType, RefusalType
from order_domain.status import OrderStatus
from order_operator.cluster.conditions import ConditionType, Reason
from order_operator.cluster.event_reasons import EventReason


def text() -> str:
    """The page as it should be."""
    return page("Conditions and reasons", _lines())


def _lines() -> Iterator[str]:
    yield "Programs may rely on these words. [What a status says](../status.md) tells which reason belongs to which"
    yield "condition.\n"
    yield "## Conditions\n"
    yield from table(("condition", "True means"), ((f"`{each.value}`", each.meaning) for each in ConditionType))
    yield "## Reasons of conditions\n"
    yield "A condition of an order that has ended has its phase, the reason of its end or its error as reason.\n"
    yield from _explained(Reason)
    yield "## Why an edit or a message is refused\n"
    yield "The reason of `SpecApplied`, and the error type that a client of the workflow gets.\n"
    yield from _explained(RefusalType)
    yield "## Why an order ends, or waits for a repair\n"
    yield "`.status.lastError.type`, where no step failed.\n"
    yield from _explained(EndType)
    yield "## Events\n"
    yield "Kubernetes Events about an order or a stock item. An order that comes to wait, or to an end other than"
    yield "`Completed`, has an Event with its phase as reason.\n"
    yield from _explained(EventReason)
    yield "## Errors of steps\n"
    yield "`.status.lastError.type`, where a step failed. An order that a permanent error stops ends as the last column"
    yield "says, once all is undone. A temporary error is tried again, as often as the class says.\n"
    yield from table(
        ("error", "what it means", "tried again", "the order ends as"),
        (
            (f"`{error.__name__}`", _sentence(error), "yes" if issubclass(error, TransientError) else "no", ends_as)
            for error, ends_as in _errors()
        ),
    )
    yield "## Statuses\n"
    yield "`.status.orderStatus` and the search attribute `OrderStatus`, with the phase of each.\n"
    yield from table(
        ("order status", "phase", "the order has ended"),
        ((f"`{each.value}`", f"`{each.phase.value}`", "yes" if each.terminal else "no") for each in OrderStatus),
    )


def _explained(names: Iterable[Explained]) -> Iterator[str]:
    rows = ((f"`{each.value}`", each.meaning, each.remedy) for each in names)
    yield from table(("reason", "what it means", "what to do"), rows)


def _errors() -> Iterator[tuple[type[OrderError], str]]:
    for error in TransientError.__subclasses__():
        yield error, ""
    for refusal in PermanentError.__subclasses__():
        yield refusal, f"`{refusal.ends_as.value}`"


def _sentence(error: type[OrderError]) -> str:
    return getdoc(error) or ""
