"""Every program ends with a code that says who has to act, and with a sentence instead of a traceback."""

import json
import logging

import pytest

from order_process.command_line import Exit, in_a_sentence
from order_process.logs import JsonLine
from order_process.settings import SettingsError


class SchemaIsOld(Exception):
    """Somebody has to put it right."""


def failing(error: BaseException) -> int:
    raise error


def test_the_exit_code_is_the_programs_own() -> None:
    assert in_a_sentence("program", lambda: 7) == 7


@pytest.mark.parametrize("error", [SettingsError("X is 'y': write z"), SchemaIsOld("X is 'y': write z")])
def test_a_wrong_use_is_told_in_a_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert in_a_sentence("program", lambda: failing(error), wrong_use=(SchemaIsOld,)) == Exit.WRONG_USE == 2
    assert capsys.readouterr().err == "program: X is 'y': write z\n"


def test_an_error_that_nobody_thought_of_is_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_a_sentence("program", lambda: failing(KeyError("odd"))) == Exit.FAILED == 1

    [record] = caplog.records
    line = json.loads(JsonLine(lambda _: {}).format(record))
    assert line["level"] == logging.getLevelName(logging.ERROR)
    assert "KeyError: 'odd'" in line["exception"]
    assert capsys.readouterr().err == ""


def test_ctrl_c_ends_as_a_shell_expects_it() -> None:
    assert in_a_sentence("program", lambda: failing(KeyboardInterrupt())) == Exit.INTERRUPTED == 130
