"""Log lines are JSON objects that keep what their author said."""

import json
import logging

from order_process.logs import JsonLine


def line(**extra: object) -> dict[str, object]:
    record = logging.getLogger("a").makeRecord(
        "a", logging.ERROR, "a.py", 1, "undo failed", (), None, extra=extra or None
    )
    written: dict[str, object] = json.loads(JsonLine().format(record))
    return written


def test_a_line_has_the_fields_that_its_author_gave() -> None:
    fields = {"step": "Ship", "cause": "TooLate", "temporal_workflow": {"workflow_id": "order-1"}}

    written = line(**fields)

    assert {name: written[name] for name in fields} == fields
    assert set(written) == {"time", "level", "logger", "message", *fields}


def test_a_field_that_json_does_not_know_is_written_as_text() -> None:
    assert line(step=ValueError("odd"))["step"] == "odd"


def test_no_field_takes_the_place_of_a_part_of_every_line() -> None:
    assert line(level="DEBUG", time="never")["level"] == "ERROR"
