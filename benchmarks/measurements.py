"""Where the numbers come from: processes' CPU and memory from the kernel, writes from the API server's own counters."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_WRITES = re.compile(
    r'^apiserver_request_total\{(?=.*group="(?P<group>order-platform\.dev|events\.k8s\.io)")'
    r'(?=.*resource="(?P<resource>\w+)")(?=.*subresource="(?P<sub>\w*)")'
    r'.*verb="(?P<verb>POST|PUT|PATCH|APPLY|DELETE)".*\} (?P<count>\S+)$',
    re.MULTILINE,
)


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time that each process has used so far."""
    times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}
    return {name: item.user + item.system for name, item in times.items()}


def peak_rss_mib(pid: int) -> float:
    """The kernel's high-water mark of resident memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found.group(1)) / 1024 if found else 0.0


def api_writes(metrics: str) -> dict[str, float]:
    """Writes of orders and events so far, by verb and resource, from the API server's /metrics."""
    counts: dict[str, float] = {}
    for match in _WRITES.finditer(metrics):
        sub = f"/{match['sub']}" if match["sub"] else ""
        key = f"{match['verb']} {match['resource']}{sub}"
        counts[key] = counts.get(key, 0.0) + float(match["count"])
    return counts


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest-rank quantile; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Difference:
    """What grew between two readings."""

    before: Mapping[str, float]
    after: Mapping[str, float]

    def per(self, count: int, scale: float = 1.0) -> dict[str, float]:
        """Growth per one of `count`, without what did not grow."""
        grown = {key: value - self.before.get(key, 0.0) for key, value in self.after.items()}
        return {key: scale * value / count for key, value in grown.items() if value > 0}
