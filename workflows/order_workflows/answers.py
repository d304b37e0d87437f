"""What a refusal becomes: an error of an Update, or a line in the log of a signal, which has no answer."""

from temporalio.exceptions import ApplicationError

from order_workflows.acceptance import Refusal
from order_workflows.signals import drop


def refused(kind: str, message: str) -> ApplicationError:
    """With which an Update fails; it is not tried again."""
    return ApplicationError(message, type=kind, non_retryable=True)


def raise_if(refusal: Refusal | None) -> None:
    """Raises ApplicationError where there is a refusal."""
    if refusal is not None:
        raise refused(refusal.type.value, refusal.message)


def accepts(name: str, refusal: Refusal | None) -> bool:
    """Whether the signal is followed; if not, the log says why."""
    if refusal is not None:
        drop(name, f"{refusal.type.value}: {refusal.message}")
    return refusal is None
