"""`kubectl order ui`: which program it becomes, and what that is told."""

import os
from pathlib import Path

import pytest

from order_cli import main
from order_cli.commands import page
from order_cli.problems import ExitCode


@pytest.fixture
def becomes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, str]]:
    """The variables of the program that it becomes."""
    told: list[dict[str, str]] = []
    program = tmp_path / page.PROGRAM
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("sys.argv", [str(tmp_path / "kubectl-order")])
    monkeypatch.setattr(os, "execve", lambda path, _, variables: told.append({"program": path, **variables}))
    return told


def test_it_becomes_the_console_on_this_machine_alone(becomes: list[dict[str, str]], tmp_path: Path) -> None:
    assert main.run(["-n", "shop", "--context=blue", "--kubeconfig=/tmp/config", "ui", "--port", "9000"]) == ExitCode.OK

    (told,) = becomes
    assert told["program"] == str(tmp_path / page.PROGRAM)
    assert told["ORDER_CONSOLE_LISTEN"] == "127.0.0.1:9000"
    assert told["ORDER_CONSOLE_IDENTITY"] == "kubeconfig"
    assert (told["ORDER_CONSOLE_NAMESPACES"], told["ORDER_CONSOLE_CONTEXT"]) == ("shop", "blue")
    assert told["KUBECONFIG"] == "/tmp/config"


def test_a_flag_that_the_page_does_not_know_is_refused(
    becomes: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["--as", "bob", "ui"]) == ExitCode.USAGE
    assert "the page does not understand --as" in capsys.readouterr().err
    assert becomes == []


def test_where_the_console_is_missing_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [str(tmp_path / "kubectl-order")])

    assert main.run(["ui"]) == ExitCode.ERROR
    assert "pip install 'order-platform[console]'" in capsys.readouterr().err
