"""Log lines: one JSON object each, by python-json-logger, so that nothing a customer types can forge another line.

Both programs write the same fields. A line that is about an order says which:

    time, level, logger, message           every line; the time in UTC (RFC 3339)
    namespace, name, uid                   the Order or StockItem
    workflowID, runID                      its workflow in Temporal
    activity, attempt                      what the worker was doing, in lines of Temporal's SDK
    exception                              a traceback, if there is one

All other fields are those that the caller gave as `extra`. Who ordered, where to, and who decided is in no line: what
people write stands in the Order, in the audit trail and in Temporal. Texts of libraries and of other companies are
beyond us, so that addresses of mail and numbers as long as a card's are taken out of every line.
"""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter
from temporalio.runtime import LogForwardingConfig, LoggingConfig, TelemetryFilter

FIRST = ("time", "level", "logger", "message", "namespace", "name", "uid", "workflowID", "runID")
"""In this order, in front of all others."""

_NOT_OF_THE_CALLER = ("taskName", "settings", "time", "level", "logger")
"""What Python and kopf put into every record, and what no caller may set."""

_MAIL = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_CARD = r"(?<![\w-])(?:\d{13,19}|\d{4}(?:[ -]\d{4}){2,3}[ -]\d{1,4})(?![\w-])"
_PERSONAL = re.compile(f"{_MAIL}|{_CARD}")

MAX_CORE_FIELD = 500
"""Characters of a field of the SDK's core."""

Whose = Callable[[str], Mapping[str, str]]
"""Gives namespace, name and uid of the order that a workflow's id names; nothing for another workflow."""


class JsonLine(JsonFormatter):
    """One line. `resource` (`<namespace>/<name>`), `workflow_id`, `run_id` are what callers give. Temporal's SDK gives
    `temporal_workflow` and `temporal_activity`."""

    def __init__(self, whose: Whose, *, names_people: bool = False) -> None:
        """`names_people`: of a record of who did what, in which a mail address may be the name of an account."""
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            reserved_attrs=[*RESERVED_ATTRS, *_NOT_OF_THE_CALLER],
            timestamp="time",
        )
        self._whose = whose
        self._shown = (lambda value: value) if names_people else _without_personal

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """The library's place for changes to what is written."""
        fields = dict(log_data)
        fields["time"] = fields["time"].astimezone(UTC).isoformat(timespec="milliseconds")
        fields |= _of_the_core(fields.pop("temporal_log", None))
        fields |= _about(fields, self._whose)
        first = {name: fields.pop(name) for name in FIRST if fields.get(name)}
        return {name: self._shown(value) for name, value in {**first, **fields}.items() if value is not None}


def _about(fields: dict[str, Any], whose: Whose) -> dict[str, Any]:
    """Which order the line is about, and what was done; takes the fields that say so in other words."""
    namespace, _, name = str(fields.pop("resource", "")).partition("/")
    workflow = _taken(fields, "temporal_workflow")
    activity = _taken(fields, "temporal_activity")
    workflow_id = fields.pop("workflow_id", None) or workflow.get("workflow_id") or activity.get("workflow_id")
    run_id = fields.pop("run_id", None) or workflow.get("run_id") or activity.get("workflow_run_id")
    about = {
        **(whose(workflow_id) if workflow_id else {}),
        **({"namespace": namespace, "name": name} if name else {}),
        "workflowID": workflow_id,
        "runID": run_id,
        "activity": activity.get("activity_type"),
        "attempt": activity.get("attempt"),
    }
    return {key: value for key, value in about.items() if value}


def _of_the_core(log: Any) -> dict[str, str]:
    """Of what the SDK's core adds to a line, the run and the error: the rest can be a whole task with its payloads."""
    given = getattr(log, "fields", None) or {}
    return {name: str(given[name])[:MAX_CORE_FIELD] for name in ("workflow_id", "run_id", "error") if given.get(name)}


def _taken(fields: dict[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.pop(name, None)
    return found if isinstance(found, Mapping) else {}


def _without_personal(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_personal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_personal(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _PERSONAL.sub("***", str(value))


def of_the_sdk() -> LoggingConfig:
    """For Temporal's runtime: what its core has to say comes through the same handler, instead of as coloured text."""
    forwarding = LogForwardingConfig(
        logger=logging.getLogger("temporalio.core"),
        append_target_to_name=False,
        prepend_target_on_message=False,
        append_log_fields_to_message=False,
    )
    return LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding)


def configure(whose: Whose) -> None:
    """Everything from INFO on, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine(whose))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
