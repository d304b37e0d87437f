"""How failures are written once payloads are encrypted: their messages and stack traces are payloads too.

Not so where a program lacks a key: it may lack the one to write with as well, and such a failure tells nothing of an
order. The workflow has to see it (`order_workflows.remote_activities`), and people who look at the history, too.
"""

from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadConverter,
)
from temporalio.exceptions import ApplicationError

from order_codec.undecodable import Undecodable


class EncryptedFailures(DefaultFailureConverterWithEncodedAttributes):
    """Encodes the message of every failure but of those for want of a key."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """As the SDK calls it."""
        if _tells_nothing(exception):
            DefaultFailureConverter.default.to_failure(exception, payload_converter, failure)
        else:
            super().to_failure(exception, payload_converter, failure)


def _tells_nothing(exception: BaseException) -> bool:
    """Of an order: what says that a payload cannot be read, and what the SDK wraps that in."""
    if isinstance(exception, ApplicationError):
        return isinstance(exception.__cause__, Undecodable) and not exception.details
    return isinstance(exception, Undecodable)
