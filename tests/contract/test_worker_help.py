"""`order-worker --help` is the reference of the worker's settings."""

from importlib.metadata import version

import pytest
from settings_variables import worker_variables

from order_worker.__main__ import main


def test_the_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert max(map(len, shown[shown.index("environment:") :].splitlines())) < 80
    assert [name for name in sorted(worker_variables()) if name not in shown] == []


def test_the_version_is_that_of_the_release(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"order-worker {version('order-platform')}\n"
