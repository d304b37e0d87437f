"""The values of a chart as its values.yaml tells them: the comment above a key is its meaning.

A comment that counts begins with `# -- `. A line `# @schema {…}` in it adds to what the default tells of the value's
schema: keywords of JSON Schema, and two of our own:

- `is: <name>` takes a schema from schema_parts.py;
- `partial: true` says that keys beneath may be missing, as in what only fills gaps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[3] / "charts"

_MEANING = "# -- "
_SCHEMA = "# @schema "


@dataclass(frozen=True)
class Value:
    """One key of values.yaml."""

    path: str
    name: str
    default: Any
    meaning: str
    """In Markdown; empty where the key above says it."""
    schema: Mapping[str, Any]
    """What the comment says of it."""
    children: tuple["Value", ...] = field(default=())
    """Of a block; a value in braces or brackets has none."""


def values_of(chart: Path) -> tuple[Value, ...]:
    """The top-level values of a chart, in the order of its file."""
    source = (chart / "values.yaml").read_text()
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError(f"{chart.name}: values.yaml holds no map")
    return tuple(_values(root, "", source.splitlines()))


def every(values: tuple[Value, ...]) -> Iterator[Value]:
    """All of them, those beneath after the one above."""
    for value in values:
        yield value
        yield from every(value.children)


def _values(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        path = f"{above}{key.value}"
        meaning, schema = _comment_above(lines, key.start_mark.line)
        block = isinstance(value, yaml.MappingNode) and not value.flow_style and bool(value.value)
        children = tuple(_values(value, f"{path}.", lines)) if block else ()
        default = yaml.safe_load(yaml.serialize(value))
        yield Value(path, key.value, default, meaning, schema, children)


def _comment_above(lines: list[str], number: int) -> tuple[str, Mapping[str, Any]]:
    """Of the comment that ends in the line before the key: its words from `# --` on, and its schema."""
    said: list[str] = []
    schema: dict[str, Any] = {}
    for line in reversed(lines[:number]):
        text = line.lstrip()
        if not text.startswith("#"):
            break
        if text.startswith(_SCHEMA):
            schema = yaml.safe_load(text.removeprefix(_SCHEMA))
        elif text.startswith(_MEANING):
            return " ".join([text.removeprefix(_MEANING), *said]), schema
        else:
            words = text.removeprefix("#").strip()
            said.insert(0, f"`{words}`" if words.startswith("- ") else words)
    return "", schema
