"""Log lines: one JSON object each, so that nothing a customer types can forge another line."""

import json
import logging
from datetime import UTC, datetime

_OF_EVERY_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "settings"}
"""`settings` is kopf's own object."""


class JsonLine(logging.Formatter):
    """time, level, logger, message, the fields that the caller gave as `extra` and, if any, the exception."""

    def format(self, record: logging.LogRecord) -> str:
        """JSON escapes line breaks and control characters."""
        line = {
            **_fields(record),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD}


def configure() -> None:
    """Everything from INFO on, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
