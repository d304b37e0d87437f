"""Where the version of a release is written, and the section of the changelog that belongs to it."""

import re
from collections.abc import Mapping
from pathlib import Path

from order_devstack.errors import DevstackError

UNRELEASED = "Unreleased"
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
_LINES = {
    "pyproject.toml": ("version",),
    "cli/pyproject.toml": ("version",),
    "charts/order-platform/Chart.yaml": ("version", "appVersion"),
    "charts/order-platform-crds/Chart.yaml": ("version", "appVersion"),
}
"""File -> the keys at the beginning of a line that hold the version."""


def checked(version: str) -> str:
    """`version` itself. Raises DevstackError unless it is one of the form 1.2.3, or 1.2.3rc1 for a candidate."""
    if _VERSION.fullmatch(version) is None:
        raise DevstackError(f"{version!r} is no version: write 1.2.3, or 1.2.3rc1 for a candidate.")
    return version


def stated(checkout: Path) -> Mapping[str, str]:
    """File and key -> the version that stands there."""
    return {
        f"{file}: {key}": _line(key).search((checkout / file).read_text())[2]  # type: ignore[index] # each has the line
        for file, keys in _LINES.items()
        for key in keys
    }


def write(checkout: Path, version: str, day: str) -> None:
    """Write `version` wherever one is stated, and give what is unreleased in the changelog its name and `day`."""
    for file, keys in _LINES.items():
        text = (checkout / file).read_text()
        for key in keys:
            text = _line(key).sub(rf"\g<1>{version}\g<3>", text, count=1)
        (checkout / file).write_text(text)
    changelog = checkout / "CHANGELOG.md"
    text = changelog.read_text()
    if f"\n## {version} " not in text:
        changelog.write_text(text.replace(f"\n## {UNRELEASED}\n", f"\n## {UNRELEASED}\n\n## {version} ({day})\n", 1))


def notes(changelog: str, version: str) -> str:
    """The section of the changelog about `version`. Raises DevstackError if there is none, or nothing in it."""
    found = re.search(rf"^## {re.escape(version)} \([0-9-]+\)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise DevstackError(
            f"CHANGELOG.md says nothing about {version}: run `make version VERSION={version}` and commit."
        )
    return found[1].strip() + "\n"


def _line(key: str) -> re.Pattern[str]:
    return re.compile(rf'^({key}(?: =|:) "?)([^"\n]+)("?)$', re.MULTILINE)
