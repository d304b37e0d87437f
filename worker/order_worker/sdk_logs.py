"""What Temporal's SDK logs, in the form of all other lines: its fields apart from the message, known errors in a
sentence."""

import logging

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from order_domain.errors import OrderError


def configure() -> None:
    """For the whole process."""
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False
    activity.logger.base_logger.addFilter(in_a_sentence)


def in_a_sentence(record: logging.LogRecord) -> bool:
    """Takes the traceback from the failure of an attempt that has a name: it would only show how the error was
    translated."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ApplicationError) and isinstance(error.__cause__, OrderError):
        record.msg, record.exc_info = "attempt failed", None
        record.cause, record.error = error.type, error.message
    return True
