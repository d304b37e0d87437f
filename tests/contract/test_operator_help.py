"""`order-operator --help` is the reference of the operator's settings; what is wrong with them is one line."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from settings_variables import operator_variables

from order_operator.__main__ import main
from order_process.command_line import Exit

NOT_IN_A_POD = {name: value for name, value in os.environ.items() if not name.startswith("KUBERNETES_")}


def test_the_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert max(map(len, shown[shown.index("environment:") :].splitlines())) < 80
    assert [name for name in sorted(operator_variables()) if name not in shown] == []


def test_the_version_is_that_of_the_release(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"order-operator {version('order-platform')}\n"


def test_an_argument_that_it_does_not_know_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=str(int(Exit.WRONG_USE))):
        main(["--version-of-what"])
    assert "unrecognized arguments" in capsys.readouterr().err


def refused(**variables: str) -> str:
    """What a start with these settings writes; the exit code says that it was refused."""
    command = [sys.executable, "-P", "-m", "order_operator"]
    environment = {**NOT_IN_A_POD, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.WRONG_USE, done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_setting_that_is_wrong_is_refused_by_its_name() -> None:
    said = refused(ORDER_OPERATOR_PAUSED="perhaps")

    assert said == "order-operator: ORDER_OPERATOR_PAUSED is 'perhaps': write true or false\n"


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refused(KUBECONFIG=str(tmp_path / "none"))

    assert said.startswith("order-operator: no way to the API server: ")
    assert str(tmp_path / "none") in said


@pytest.mark.parametrize("content", ["", ": [", "[1]", "{clusters: [], contexts: [], current-context: a}"])
def test_a_kubeconfig_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(content)

    assert str(file) in refused(KUBECONFIG=str(file))


def test_temporals_settings_are_read_before_anything_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "{current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], "
        "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: a, user: {token: a}}]}"
    )

    assert "Profile 'nobody' not found" in refused(KUBECONFIG=str(file), TEMPORAL_PROFILE="nobody")
