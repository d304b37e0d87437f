"""Writes lines for people, in the colours and characters that their terminal has, and objects for programs."""

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from order_cli.flags import Flags
from order_cli.yaml_text import as_yaml

_PLAIN = str.maketrans(
    {
        "✓": "ok",
        "▶": ">",
        "◔": "..",
        "·": ".",
        "✗": "x",
        "↶": "<",
        "–": "-",
        "—": "-",
        "█": "#",
        "░": ".",
        "→": "->",
        "…": "...",
        "×": "x",
        "≤": "<=",
        "≥": ">=",
        "▁": "_",
        "▂": ".",
        "▃": ".",
        "▄": "-",
        "▅": "-",
        "▆": "=",
        "▇": "=",
    }
)
_COLOURS = {"good": "32", "bad": "31", "busy": "36", "waits": "33", "dim": "2", "bold": "1"}


class Cell(NamedTuple):
    """Text with a colour."""

    text: str
    style: str = ""


class Terminal:
    """Standard output and standard error."""

    def __init__(self, flags: Flags) -> None:
        self.format = flags.output
        self.quiet = flags.quiet
        self.utc = flags.utc
        self.ascii = flags.ascii or not _can_unicode()
        self.interactive = sys.stdout.isatty()
        self.takes_keys = self.interactive and sys.stdin.isatty()
        wanted = not flags.no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.coloured = wanted and self.interactive
        self.width = shutil.get_terminal_size().columns if self.interactive else None

    @property
    def for_people(self) -> bool:
        """Whether a table or a screen is wanted, and no object."""
        return self.format in ("table", "wide")

    def plain(self, text: str) -> str:
        """With the characters that the terminal has."""
        return text.translate(_PLAIN) if self.ascii else text

    def paint(self, text: str, style: str) -> str:
        """In colour, where there is any."""
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if style and self.coloured else text

    def line(self, text: str = "", style: str = "") -> None:
        """One line of the answer."""
        self._write(sys.stdout, self.paint(self.plain(text), style))

    def note(self, text: str, style: str = "") -> None:
        """What is said beside the answer; -q silences it."""
        if not self.quiet:
            self.line(text, style)

    def error(self, text: str) -> None:
        """The sentence that a command fails with."""
        stream = sys.stderr
        shown = self.plain(f"✗ {text}")
        self._write(stream, f"\x1b[31m{shown}\x1b[0m" if self.coloured and stream.isatty() else shown)

    def aside(self, text: str) -> None:
        """A remark that is no part of an answer for programs."""
        if not self.quiet:
            self._write(sys.stderr, self.plain(text))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[Cell | str]], right: Sequence[str] = ()) -> None:
        """Aligned columns, two blanks apart; the last is cut where the terminal ends."""
        for line in self.aligned(heads, rows, right):
            self._write(sys.stdout, line)

    def aligned(
        self, heads: Sequence[str], rows: Iterable[Sequence[Cell | str]], right: Sequence[str] = ()
    ) -> list[str]:
        """The lines of the table."""
        cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
        cells = [[Cell(self.plain(cell.text), cell.style) for cell in row] for row in cells]
        if any(heads):
            cells.insert(0, [Cell(head, "bold") for head in heads])
        widths = [max(width(row[place].text) for row in cells) for place in range(len(heads))] if cells else []
        return [self._row(row, widths, [head in right for head in heads]) for row in cells]

    def _row(self, row: Sequence[Cell], widths: Sequence[int], to_the_right: Sequence[bool]) -> str:
        parts, used = [], 0
        for place, cell in enumerate(row):
            text, last = cell.text, place == len(row) - 1
            if last and self.width is not None:
                text = cut(text, max(10, self.width - used))
            blanks = " " * (widths[place] - width(text))
            padded = blanks + self.paint(text, cell.style) if to_the_right[place] else self.paint(text, cell.style)
            parts.append(padded if last or to_the_right[place] else padded + blanks)
            used += widths[place] + 2
        return "  ".join(parts).rstrip()

    def objects(self, found: Sequence[Mapping[str, Any]], *, one: bool = False) -> None:
        """For programs: as JSON, YAML or names."""
        if self.format == "name":
            for item in found:
                group, slash, _ = str(item.get("apiVersion", "")).partition("/")
                kind = str(item.get("kind", "object")).lower()
                self.line(f"{kind}{f'.{group}' if slash else ''}/{item['metadata']['name']}")
            return
        whole: Mapping[str, Any] = (
            found[0] if one and found else {"apiVersion": "v1", "kind": "List", "items": [*found]}
        )
        text = as_yaml(whole) if self.format == "yaml" else json.dumps(whole, indent=4, ensure_ascii=False)
        self._write(sys.stdout, text)

    def time(self, when: datetime, form: str = "%H:%M:%S") -> str:
        """As the reader's clock shows it, or UTC where that is asked for."""
        return (when if self.utc else when.astimezone()).strftime(form)

    def moment(self, when: datetime, now: datetime) -> str:
        """The same with the day, where that is another one."""
        same = self.time(when, "%d %b %Y") == self.time(now, "%d %b %Y")
        return self.time(when, "%H:%M:%S" if same else "%d %b %H:%M")

    @staticmethod
    def _write(stream: Any, text: str) -> None:
        encoding = stream.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)


def _can_unicode() -> bool:
    """Python writes UTF-8 in the locale C as well, which says that the terminal may not know it."""
    settings = [os.environ.get("LC_ALL"), sys.stdout.encoding]
    return all("utf" in setting.lower() for setting in settings if setting)


def width(text: str) -> int:
    """Columns that it takes: East Asian characters take two, marks that combine none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def cut(text: str, columns: int) -> str:
    """Its beginning, with dots where something is missing."""
    if width(text) <= columns:
        return text
    while width(text) > columns - 3:
        text = text[:-1]
    return f"{text}..."
