"""YAML of what JSON holds, without a library: strings that could be read as something else are quoted as JSON."""

import json
import re
from typing import Any

_PLAIN = re.compile(r"^[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


def as_yaml(value: Any) -> str:
    """A document without its last newline."""
    return "\n".join(_lines(value))


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            lines += _entry(f"{_scalar(key)}:", item, "" if isinstance(item, list) else "  ")
        return lines
    if isinstance(value, list) and value:
        lines = []
        for item in value:
            inner = _lines(item)
            lines += [f"- {inner[0]}", *(f"  {line}" for line in inner[1:])]
        return lines
    return [_scalar(value)]


def _entry(head: str, item: Any, indent: str) -> list[str]:
    if isinstance(item, dict | list) and item:
        return [head, *(f"{indent}{line}" for line in _lines(item))]
    return [f"{head} {_scalar(item)}"]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
