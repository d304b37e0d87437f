"""The queries of dashboards as Prometheus itself takes them, without Grafana."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

RATE_INTERVAL = "1m"
"""What Grafana puts in the place of `$__rate_interval`: at least four scrapes."""

_NAMES = re.compile(r"\b((?:orders|temporal|process|up)(?:_[a-z0-9_]+)?)\b(?=[{\[)\s]|$)")
_LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on|without|ignoring)\s*\([^)]*\)")


def expression(text: str, chosen: Mapping[str, str] | None = None, rate_interval: str = RATE_INTERVAL) -> str:
    """With everything chosen in each variable, or what is `chosen`."""
    text = text.replace("$__rate_interval", rate_interval)
    return re.sub(r"\$([a-z_]+)", lambda variable: (chosen or {}).get(variable[1], ".*"), text)


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Those that ask something, of Grafana's JSON."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def metrics(text: str) -> set[str]:
    """Names of the metrics in a query."""
    return {found[1] for found in _NAMES.finditer(_LABELS.sub(" ", text))}
