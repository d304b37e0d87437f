"""The reference of the charts' values: the comments in their values.yaml."""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from order_devstack.reference.markdown import page, plain, table

CHARTS = Path(__file__).resolve().parents[3] / "charts"

_MARK = "# -- "


def text() -> str:
    """The page as it should be."""
    return page("Values of the charts", _lines())


def _lines() -> Iterator[str]:
    yield "`helm show values CHART` prints the same. A value that the schema does not know is refused by name. A value"
    yield "without words of its own belongs to what stands above it.\n"
    for chart in sorted(CHARTS.iterdir()):
        yield f"## {chart.name}\n"
        rows = _rows((chart / "values.yaml").read_text())
        yield from table(("value", "default", "meaning"), rows)


def _rows(source: str) -> Iterator[tuple[str, str, str]]:
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    yield from _of(root, "", source.splitlines())


def _of(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        path = f"{above}{key.value}"
        meaning = _comment_above(lines, key.start_mark.line)
        entries = value.value if isinstance(value, yaml.SequenceNode) else []
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            if meaning:
                yield f"`{path}`", "", meaning
            yield from _of(value, f"{path}.", lines)
        elif entries and isinstance(entries[0], yaml.MappingNode):
            yield f"`{path}`", "", meaning
            yield from _of(entries[0], f"{path}[].", lines)
        else:
            yield f"`{path}`", f"`{_default(value)}`", meaning


def _default(value: yaml.Node) -> str:
    loaded = yaml.safe_load(yaml.serialize(value))
    return json.dumps(loaded, ensure_ascii=False)


def _comment_above(lines: list[str], number: int) -> str:
    """The comment that begins with `# --` and ends in the line before the key."""
    said: list[str] = []
    for line in reversed(lines[:number]):
        if not line.lstrip().startswith("#"):
            return ""
        if line.lstrip().startswith(_MARK):
            return plain(" ".join([line.lstrip().removeprefix(_MARK), *said]))
        words = line.lstrip().removeprefix("#").strip()
        said.insert(0, f"`{words}`" if words.startswith("- ") else words)
    return ""
