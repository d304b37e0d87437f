"""The tables of the page for users of the five reference systems name commands that its blocks run."""

import re

import pytest
from pages import blocks, sections

SECTIONS = sections("docs/coming-from.md")
COMMANDS = ("kill", "kubectl", "make", "python", "sed", "temporal")
TESTED_ELSEWHERE = ("make scenario", "make contrast")


def rows(section: str) -> list[str]:
    """Of its table, without the head, whose first cell is empty."""
    return re.findall(r"^\| (?!\|).*\|$", section, re.MULTILINE)


def commands(row: str) -> list[str]:
    """In its last cell; a cell's other code names fields and tables."""
    ours = re.split(r"(?<!\\)\|", row)[-2]
    named = [code.replace("\\|", "|") for code in re.findall(r"`([^`]+)`", ours)]
    return [code for code in named if code.startswith(COMMANDS) and not code.startswith(TESTED_ELSEWHERE)]


def runs(command: str, section: str) -> bool:
    """Whether a line of its blocks is `command`, in which `…` stands for anything."""
    pattern = ".*".join(map(re.escape, command.split("…")))
    return any(re.fullmatch(pattern, line) for block in blocks(section) for line in block.splitlines())


each_section = pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)


def test_there_is_a_section_for_each_system() -> None:
    assert [heading[:4] for heading in SECTIONS] == ["000:", "001:", "002:", "003:", "004:"]


@each_section
def test_a_section_shows_commands_and_puts_them_beside_the_other_systems(section: str) -> None:
    assert blocks(section)
    assert any(commands(row) for row in rows(section))


@each_section
def test_every_command_of_a_table_is_one_that_the_section_runs(section: str) -> None:
    named = [command for row in rows(section) for command in commands(row)]

    assert [command for command in named if not runs(command, section)] == []


@each_section
def test_a_section_says_what_is_unchanged_and_what_is_different_on_purpose(section: str) -> None:
    assert [title for title in ("**Unchanged:**", "**Different on purpose:**") if title not in section] == []
