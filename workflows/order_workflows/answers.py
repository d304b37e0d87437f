"""What a refusal becomes: an error of an Update; of a Signal, which has no answer, a line in log and status."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from order_workflows.acceptance import Refusal
from order_workflows.order_run import OrderRun
from order_workflows.patches import SHOWS_REFUSALS
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


def drop(order: OrderRun, name: str, reason: str, explanation: str = "") -> None:
    """A Signal is not followed: nobody answers its sender, so that the order shows it. The explanation may name a
    person, and is no matter for a log."""
    log_dropped(name, reason)
    if workflow.patched(SHOWS_REFUSALS):
        order.refused(name, f"{reason}: {explanation}" if explanation else reason)
