"""What a check of the doctor finds."""

from dataclasses import dataclass

GOOD, WARNING, PROBLEM, UNKNOWN = "✓", "!", "✗", "?"


@dataclass(frozen=True)
class Finding:
    """One line."""

    mark: str
    text: str
