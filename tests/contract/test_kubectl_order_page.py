"""docs/kubectl-order.md names every command and exit code, and shows screens as they are."""

import re

import pytest
from pages import ROOT, sections

from order_cli.main import COMMANDS
from order_cli.problems import ExitCode

PAGE = "docs/kubectl-order.md"
SCREENS = ROOT / "tests/unit/cli/screens"


def test_every_command_is_described() -> None:
    described = set(re.findall(r"`([a-z]+)[ `]", sections(PAGE)["Commands"]))

    assert set(COMMANDS) - described == set()


def test_every_exit_code_is_described() -> None:
    described = re.findall(r"^\| (\d) \|", sections(PAGE)["Exit codes"], re.MULTILINE)

    assert [int(code) for code in described] == list(ExitCode)


@pytest.mark.parametrize("name", ["inbox", "why-decision", "track-failed"])
def test_a_screen_on_the_page_is_what_the_command_shows(name: str) -> None:
    assert (SCREENS / f"{name}.txt").read_text() in (ROOT / PAGE).read_text()
