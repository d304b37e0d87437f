"""The wheels of a release, and what the programs depend on as CycloneDX bills of materials."""

import os
import subprocess
import sys
from pathlib import Path

from order_devstack.errors import CommandFailed
from order_devstack.release.source import Source

PROGRAMS = ("operator", "worker", "console")


def build(source: Source, out: Path) -> None:
    """Write the wheels of the platform and of kubectl order into `out`, and out/sbom/<program>.cdx.json. Raises
    DevstackError."""
    dated = {**os.environ, "SOURCE_DATE_EPOCH": str(source.time)}
    wheel = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out)]
    _run([*wheel, str(source.folder), str(source.folder / "cli")], dated)
    (out / "sbom").mkdir()
    for program in PROGRAMS:
        # Reproducible: without the serial number and the time that would differ each time.
        bill = ["cyclonedx_py", "requirements", "--output-reproducible", "--pyproject", "pyproject.toml"]
        written = str((out / "sbom" / f"{program}.cdx.json").resolve())
        _run([*bill, "--output-file", written, f"requirements/{program}.txt"], dated, source.folder)


def _run(module: list[str], environment: dict[str, str], folder: Path | None = None) -> None:
    command = [sys.executable, "-P", "-m", *module]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(" ".join(module), done.returncode, done.stdout, done.stderr)
