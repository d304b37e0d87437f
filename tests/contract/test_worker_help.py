"""`order-worker --help` is the reference of the worker's settings."""

import pytest
from settings_variables import worker_variables

from order_worker.__main__ import main


def test_the_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert [name for name in sorted(worker_variables()) if f"  {name} " not in shown] == []
