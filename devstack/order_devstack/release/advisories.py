"""Whether a pinned dependency has a known weakness, by pip-audit.

The tool first proves itself on a pin that is known to be vulnerable. A tool that finds nothing there has found nothing
anywhere: what it says of our own pins then counts as *not checked*, never as fine.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PLANTED = "jinja2==2.4.1"
"""Has had advisories for ten years."""
SECONDS = 600


class Verdict(StrEnum):
    """What is known of the pins."""

    FINE = "no advisory is known"
    WEAK = "advisories are known"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Audit:
    """The verdict, and a line for each advisory or for why nothing was checked."""

    verdict: Verdict
    lines: tuple[str, ...] = ()


def audit(files: Sequence[Path], options: Sequence[str] = ()) -> Audit:
    """Of files of requirements that are pinned by hash; `options` go to pip-audit, such as another source."""
    with tempfile.TemporaryDirectory() as folder:
        planted = Path(folder) / "planted.txt"
        planted.write_text(f"{PLANTED}\n")
        proof = _findings([planted], [*options, "--no-deps", "--disable-pip"])
    if isinstance(proof, str):
        return Audit(Verdict.NOT_CHECKED, (proof,))
    if not proof:
        return Audit(Verdict.NOT_CHECKED, (f"the source of advisories knows none of {PLANTED}: it does not work",))
    found = _findings(files, [*options, "--require-hashes", "--disable-pip"])
    if isinstance(found, str):
        return Audit(Verdict.NOT_CHECKED, (found,))
    return Audit(Verdict.WEAK if found else Verdict.FINE, tuple(found))


def _findings(files: Sequence[Path], options: Sequence[str]) -> list[str] | str:
    """A line for each advisory; a text that says why there was no answer."""
    named = [argument for file in files for argument in ("--requirement", str(file))]
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--timeout=15"]
    try:
        done = subprocess.run(
            [*command, *named, *options], capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    try:
        answer = json.loads(done.stdout)
        unknown = [f"{each['name']}: {each['skip_reason']}" for each in answer["dependencies"] if "skip_reason" in each]
        if unknown:
            return f"{len(unknown)} pins could not be looked up, such as {unknown[0]}"
        return [
            f"{each['name']} {each['version']}: {weakness['id']}, mended in "
            f"{', '.join(weakness['fix_versions']) or 'no version'}"
            for each in answer["dependencies"]
            for weakness in each["vulns"]
        ]
    except (ValueError, KeyError, TypeError):
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return said[-1][:300] if said else f"pip-audit ended with {done.returncode} and said nothing"
