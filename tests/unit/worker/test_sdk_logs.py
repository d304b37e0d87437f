"""A failed attempt with a name is one sentence in the log; one without keeps its traceback."""

import logging

from temporalio.exceptions import ApplicationError

from order_domain.errors import ProviderUnavailable
from order_worker.sdk_logs import in_a_sentence


def record_of(error: Exception) -> logging.LogRecord:
    exc_info = (type(error), error, None)
    return logging.LogRecord("a", logging.WARNING, "a.py", 1, "Completing activity as failed", (), exc_info)


def test_a_failure_that_has_a_name_is_a_sentence() -> None:
    error = ApplicationError("carrier away", type="ProviderUnavailable")
    error.__cause__ = ProviderUnavailable("carrier away")
    record = record_of(error)

    assert in_a_sentence(record)
    assert record.exc_info is None
    assert (record.getMessage(), record.__dict__["cause"], record.__dict__["error"]) == (
        "attempt failed",
        "ProviderUnavailable",
        "carrier away",
    )


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    record = record_of(KeyError("odd"))

    assert in_a_sentence(record)
    assert record.exc_info is not None
