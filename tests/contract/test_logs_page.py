"""docs/logs.md names messages that the programs write."""

import re
from pathlib import Path

import pytest
from pages import sections

from order_domain.audit_note import NoteKind

ROOT = Path(__file__).resolve().parents[2]
SOURCES = "".join(
    path.read_text() for folder in ("operator", "worker", "workflows") for path in (ROOT / folder).rglob("*.py")
)


def _messages() -> list[str]:
    rows = sections("docs/logs.md")["What is told of an order"].splitlines()
    return [message for row in rows if row.startswith("| `") for message in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize("message", _messages())
def test_a_message_that_is_named_is_written(message: str) -> None:
    written = re.search(rf'\.(info|warning|error)\(\s*"{re.escape(message)}"|record\.msg, .* = "{message}"', SOURCES)

    assert written or message in set(NoteKind)  # the notes for the audit trail are told of where they are made


def test_every_note_about_an_order_is_named() -> None:
    assert set(NoteKind) - set(_messages()) == set()
