"""The command line of a program that writes generated files, or checks that they are what it would write."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def write_or_check(
    program: str, description: str, files: Iterable[tuple[str, str]], arguments: Sequence[str] | None
) -> int:
    """Writes the stale ones of `files` (path in the checkout, text), or with `--check` only names them; 1 if a check
    found any."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="checkout to write to (default: current folder)")
    options = parser.parse_args(arguments)
    stale = False
    for name, wanted in files:
        file = options.root / name
        if file.exists() and file.read_text() == wanted:
            continue
        stale = True
        if options.check:
            sys.stderr.write(f"{name} is stale: run make generate\n")
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted)
        sys.stdout.write(f"{name}\n")
    return 1 if options.check and stale else 0
