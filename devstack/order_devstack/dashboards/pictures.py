"""Pictures of the dashboards for the documentation, drawn from the answers of a Prometheus to their own queries:
`python -m order_devstack.dashboards.pictures http://127.0.0.1:9090`. No Grafana is needed; it would draw them finer.
"""

import argparse
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from order_devstack.dashboards.__main__ import FOLDER
from order_devstack.dashboards.content import Unit
from order_devstack.dashboards.queries import expression

PICTURES = Path("docs/pictures")
COLUMN, ROW, GAP = 50, 26, 6
"""Pixels of a cell of Grafana's grid, and between panels."""
POINTS = 120
COLOURS = ("#3274d9", "#e0752d", "#299c46", "#a352cc", "#d44a3a", "#33a2e5", "#b7a100", "#6d1f62", "#58140c", "#052b51")
LEGENDS = 5
"""Names shown under a picture; there may be twenty."""

Series = list[tuple[str, list[tuple[float, float]]]]


@dataclass(frozen=True)
class Span:
    """Of time, in seconds since the epoch."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Between two points."""
        return max(1.0, (self.end - self.start) / POINTS)


def drawn(board: Mapping[str, Any], address: str, span: Span) -> str:
    """The dashboard as SVG."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    width, height = 24 * COLUMN, bottom * ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#f4f5f5"/>',
        f'<text x="{GAP}" y="26" font-size="18" fill="#222">{escape(board["title"])}</text>',
    ]
    for panel in board["panels"]:
        parts += _panel(panel, address, span)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Mapping[str, Any], address: str, span: Span) -> Iterator[str]:
    place = panel["gridPos"]
    x, y = place["x"] * COLUMN + GAP / 2, place["y"] * ROW + 40
    width, height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
    yield f'<g transform="translate({x:g} {y:g})">'
    if panel["type"] == "row":
        yield f'<text x="4" y="16" font-size="13" font-weight="bold" fill="#444">{escape(panel["title"])}</text></g>'
        return
    yield f'<rect width="{width:g}" height="{height:g}" fill="#fff" stroke="#ddd"/>'
    yield f'<text x="8" y="17" font-size="12" fill="#333">{escape(panel["title"])}</text>'
    unit = Unit(panel["fieldConfig"]["defaults"]["unit"])
    if panel["type"] == "stat":
        yield from _number(panel, address, span, unit, width)
    else:
        yield from _lines(_series(panel, address, span), span, unit, width, height)
    yield "</g>"


def _number(panel: Mapping[str, Any], address: str, span: Span, unit: Unit, width: float) -> Iterator[str]:
    found = _ask(address, "query", query=expression(panel["targets"][0]["expr"]), time=span.end)
    value = float(found[0]["value"][1]) if found else math.nan
    text = "-" if math.isnan(value) else written(value, unit)
    yield f'<text x="{width / 2:g}" y="66" font-size="26" text-anchor="middle" fill="#299c46">{escape(text)}</text>'


def _series(panel: Mapping[str, Any], address: str, span: Span) -> Series:
    found: Series = []
    for target in panel["targets"]:
        for each in _ask(
            address,
            "query_range",
            query=expression(target["expr"]),
            start=span.start,
            end=span.end,
            step=span.step,
        ):
            points = [(float(at), float(value)) for at, value in each["values"] if math.isfinite(float(value))]
            if points:
                found.append((_legend(target.get("legendFormat", ""), each["metric"]), points))
    return sorted(found, key=lambda each: -max(value for _, value in each[1]))


def _legend(form: str, labels: Mapping[str, str]) -> str:
    if form in ("", "__auto"):
        return " ".join(labels.values()) or "value"
    for name, value in labels.items():
        form = form.replace(f"{{{{{name}}}}}", value)
    return re.sub(r"\{\{\w+\}\}", "", form).strip() or "none"


def _lines(series: Series, span: Span, unit: Unit, width: float, height: float) -> Iterator[str]:
    left, right, top, bottom = 58.0, width - 8, 28.0, height - 34
    highest = max((value for _, points in series for _, value in points), default=0.0) or 1.0
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        yield f'<line x1="{left}" x2="{right:g}" y1="{y:g}" y2="{y:g}" stroke="#eee"/>'
        label = escape(written(share * highest, unit))
        yield f'<text x="{left - 4}" y="{y + 4:g}" font-size="9" text-anchor="end" fill="#777">{label}</text>'
    for number, (_, points) in reversed(list(enumerate(series))):
        path = " ".join(
            f"{left + (at - span.start) / (span.end - span.start) * (right - left):.0f},"
            f"{bottom - value / highest * (bottom - top):.1f}"
            for at, value in points
        )
        colour = COLOURS[number % len(COLOURS)]
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
    yield from _legends([name for name, _ in series], width, height)


def _legends(names: Sequence[str], width: float, height: float) -> Iterator[str]:
    x = 8.0
    for number, name in enumerate(names[:LEGENDS]):
        if x + 6 * len(name) > width - 60:
            break
        colour = COLOURS[number % len(COLOURS)]
        yield f'<text x="{x:g}" y="{height - 10:g}" font-size="9" fill="{colour}">{escape(name)}</text>'
        x += 12 + 5.2 * len(name)
    else:
        number = len(names)
    if left := len(names) - min(number, LEGENDS):
        yield f'<text x="{width - 50:g}" y="{height - 10:g}" font-size="9" fill="#777">+ {left}</text>'


def written(value: float, unit: Unit) -> str:
    """As Grafana would, nearly."""
    match unit:
        case Unit.SHARE:
            return f"{100 * value:.3g} %"
        case Unit.SECONDS if value < 1:
            return f"{1000 * value:.3g} ms"
        case Unit.SECONDS:
            return f"{value:.3g} s"
        case Unit.BYTES:
            return f"{value / 2**20:.3g} MiB"
        case Unit.PER_SECOND:
            return f"{value:.2g}/s"
        case _:
            return f"{value:.3g}"


def _ask(address: str, path: str, **parameters: object) -> list[dict[str, Any]]:
    url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the caller's Prometheus
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws all dashboards."""
    parser = argparse.ArgumentParser(prog="python -m order_devstack.dashboards.pictures", description="Draw them.")
    parser.add_argument("address", help="of a Prometheus that scrapes a stack: http://host:port")
    parser.add_argument("--minutes", type=float, default=15.0, help="of the past (default: 15)")
    options = parser.parse_args(arguments)
    now = time.time()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for file in sorted(FOLDER.glob("*.json")):
        picture = PICTURES / f"dashboard-{file.stem}.svg"
        picture.write_text(drawn(json.loads(file.read_text()), options.address, Span(now - 60 * options.minutes, now)))
        sys.stdout.write(f"{picture}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
