"""Log lines are JSON objects that keep what their author said, say which order they are about, and name no person."""

import json
import logging
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from order_process.logs import JsonLine
from order_workflows.contract import whose

ORDER = {"namespace": "shop", "name": "order-1", "uid": "u-1"}
WORKFLOW = "order/shop/order-1/u-1"


def line(message: str = "undo failed", **extra: object) -> dict[str, object]:
    record = logging.getLogger("a").makeRecord("a", logging.ERROR, "a.py", 1, message, (), None, extra=extra or None)
    written: dict[str, object] = json.loads(JsonLine(whose).format(record))
    return written


def about(written: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in written.items() if name not in ("time", "level", "logger", "message")}


def test_a_line_has_the_fields_that_its_author_gave() -> None:
    fields = {"step": "Ship", "cause": "TooLate", "attempts": 4, "temporary": False}

    assert about(line(**fields)) == fields


def test_every_line_begins_with_the_same_fields() -> None:
    written = line(workflow_id=WORKFLOW, run_id="r-1", step="Ship")

    assert list(written)[:9] == [
        *("time", "level", "logger", "message", "namespace", "name", "uid", "workflowID", "runID")
    ]


def test_the_time_is_in_utc() -> None:
    moment = datetime.fromisoformat(str(line()["time"]))

    assert moment.utcoffset() == datetime.now(UTC).utcoffset()


def test_a_field_that_json_does_not_know_is_written_as_text() -> None:
    assert line(step=ValueError("odd"))["step"] == "odd"


@pytest.mark.parametrize("name", ["level", "time", "logger"])
def test_no_field_takes_the_place_of_a_part_of_every_line(name: str) -> None:
    assert line(**{name: "forged"})[name] != "forged"


def test_a_line_break_forges_no_second_line() -> None:
    record = logging.getLogger("a").makeRecord("a", logging.ERROR, "a.py", 1, "a\n{}\r\n", (), None)

    assert JsonLine(whose).format(record).splitlines() == [JsonLine(whose).format(record)]


def test_a_traceback_is_a_field() -> None:
    try:
        int("odd")
    except ValueError:
        record = logging.getLogger("a").makeRecord("a", logging.ERROR, "a.py", 1, "failed", (), sys.exc_info())

    assert "ValueError: invalid literal" in json.loads(JsonLine(whose).format(record))["exception"]


@pytest.mark.parametrize("workflow_id", [WORKFLOW, "shipment/shop/order-1/u-1/7"])
def test_the_id_of_a_workflow_says_which_order_a_line_is_about(workflow_id: str) -> None:
    assert about(line(workflow_id=workflow_id, run_id="r-1")) == {**ORDER, "workflowID": workflow_id, "runID": "r-1"}


def test_a_workflow_of_no_order_is_named_all_the_same() -> None:
    assert about(line(workflow_id="stock/c/A-1")) == {"workflowID": "stock/c/A-1"}


def test_a_resource_is_named_by_its_parts() -> None:
    assert about(line(resource="shop/order-1", uid="u-1")) == ORDER


def test_what_the_sdk_says_of_a_workflow_is_written_in_the_same_fields() -> None:
    details = {"workflow_id": WORKFLOW, "run_id": "r-1", "attempt": 1, "task_queue": "orders"}

    assert about(line(temporal_workflow=details)) == {**ORDER, "workflowID": WORKFLOW, "runID": "r-1"}


def test_what_the_sdk_says_of_an_activity_is_written_in_the_same_fields() -> None:
    details = {"workflow_id": WORKFLOW, "workflow_run_id": "r-1", "activity_type": "charge_payment", "attempt": 3}

    assert about(line(temporal_activity=details)) == {
        **ORDER,
        "workflowID": WORKFLOW,
        "runID": "r-1",
        "activity": "charge_payment",
        "attempt": 3,
    }


def test_of_what_the_sdks_core_says_the_run_and_the_error_are_kept() -> None:
    core = SimpleNamespace(fields={"run_id": "r-1", "error": "x" * 1000, "completion": "payloads of a whole task"})

    assert about(line(temporal_log=core)) == {"runID": "r-1", "error": "x" * 500}


def test_a_field_without_a_value_is_left_out() -> None:
    assert about(line(cause=None, attempts=0)) == {"attempts": 0}


@pytest.mark.parametrize(
    "text",
    ["ana.torres+shop@mail.example.com", "4242424242424242", "4242 4242 4242 4242", "3782-8224-6310-005"],
)
def test_what_looks_like_a_mail_address_or_a_card_is_taken_out(text: str) -> None:
    written = line(f"refused: {text}!", error=f"({text})", listed=[{"of": text}])

    assert about(written) == {"error": "(***)", "listed": [{"of": "***"}]}
    assert written["message"] == "refused: ***!"


@pytest.mark.parametrize(
    "text",
    [
        "0d1f6a52-1234-1234-1234-123456789012",
        "2026-11-26T07:41:34.123456+00:00",
        "1500.00 USD",
        "a@b",
        "127.0.0.1:65535",
    ],
)
def test_what_is_no_person_is_left_as_it_is(text: str) -> None:
    assert line(text)["message"] == text
