"""What a refusal becomes: an error of an Update; of a Signal, which has no answer, a line in log and status."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from order_workflows.acceptance import Refusal, refusal_of_any_edit, refusal_of_edit_in_long_history
from order_workflows.order_run import OrderRun
from order_workflows.patches import COUNTS_SIGNALLED_EDITS, SHOWS_REFUSALS
from order_workflows.signals import log_dropped


def refused(kind: str, message: str) -> ApplicationError:
    """With which an Update fails; it is not tried again."""
    return ApplicationError(message, type=kind, non_retryable=True)


def raise_if(refusal: Refusal | None) -> None:
    """Raises ApplicationError where there is a refusal."""
    if refusal is not None:
        raise refused(refusal.type.value, refusal.message)


def accepts(order: OrderRun, name: str, refusal: Refusal | None) -> bool:
    """Whether a Signal is followed. One that is not is dropped."""
    if refusal is not None:
        drop(order, name, refusal.type.value, refusal.message)
    return refusal is None


def accepts_edit(order: OrderRun, name: str, refusal: Refusal | None) -> bool:
    """Whether a Signal that edits the order is followed. One that is counts as an edit by Update does."""
    counts = workflow.patched(COUNTS_SIGNALLED_EDITS)
    if counts:
        refusal = refusal or refusal_of_any_edit(order) or refusal_of_edit_in_long_history(order)
    if not accepts(order, name, refusal):
        return False
    if counts:
        order.edits += 1
    return True


def drop(order: OrderRun, name: str, reason: str, explanation: str = "") -> None:
    """A Signal is not followed: nobody answers its sender, so that the order shows it. The explanation may name a
    person, and is no matter for a log."""
    log_dropped(name, reason)
    if workflow.patched(SHOWS_REFUSALS):
        order.refused(name, f"{reason}: {explanation}" if explanation else reason)
