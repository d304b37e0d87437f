"""The one place that reads the time. Times of the cluster are UTC; people are shown their own, or UTC with --utc."""

import time
from datetime import UTC, datetime, timedelta

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never go back, for waits."""
    return time.monotonic()


def parse(text: str | None) -> datetime | None:
    """A time of Kubernetes; None where there is none, or none that can be read."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def short(seconds: float) -> str:
    """`3m48s`, `2h5m`, `3d4h`: at most two units."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return _two(whole // _MINUTE, "m", whole % _MINUTE, "s")
    if whole < _DAY:
        return _two(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "m")
    return _two(whole // _DAY, "d", whole % _DAY // _HOUR, "h")


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large}{unit}{small}{smaller}" if small and large < 10 else f"{large}{unit}"


def long(seconds: float) -> str:
    """`1 min 12 s`, for sentences."""
    whole = max(0, int(seconds))
    parts = [(whole // _DAY, "d"), (whole % _DAY // _HOUR, "h"), (whole % _HOUR // _MINUTE, "min"), (whole % 60, "s")]
    shown = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(shown[:2]) or "0 s"


def lasted(since: datetime, until: datetime) -> str:
    """How long a step took: `5 ms`, `0.9 s`, `1 min 12 s`."""
    seconds = (until - since).total_seconds()
    if seconds < 0.1:
        return f"{max(0, round(seconds * 1000))} ms"
    return f"{seconds:.1f} s" if seconds < 10 else long(seconds)


def seconds_in(text: str) -> float:
    """Of `90s`, `2h`, `1h30m` or a bare number of seconds. Raises ValueError."""
    units = {"s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY}
    if text.isdigit():
        return float(text)
    total, number = 0.0, ""
    for character in text:
        if character.isdigit() or character == ".":
            number += character
        elif character in units and number:
            total, number = total + float(number) * units[character], ""
        else:
            raise ValueError(text)
    if number or not text:
        raise ValueError(text)
    return total


def ago(seconds: float) -> datetime:
    """That long before now."""
    return now() - timedelta(seconds=seconds)
