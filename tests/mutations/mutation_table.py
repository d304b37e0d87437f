"""The rows of mutations.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Fault:
    """What must not happen; the file says what its fields mean."""

    name: str
    severity: str
    what: str
    reason: str | None = None


@dataclass(frozen=True)
class Mutation:
    """One guard that is taken away; the file says what its fields mean."""

    fault: str
    name: str
    guard: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def problems(self, root: Path) -> list[str]:
        """Why it cannot be applied to the tree in `root`; empty if it can."""
        path = root / self.file
        if not path.is_file():
            return [f"{self.name}: there is no {self.file}"]
        count = path.read_text().count(self.text)
        problems = [f"{self.name}: its text stands {count} times in {self.file}, not once"] if count != 1 else []
        for test in self.tests:
            file, _, name = test.partition("::")
            function = name.partition("[")[0].rpartition("::")[2]
            known = (root / file).is_file() and f"def {function}(" in (root / file).read_text()
            problems += [] if known else [f"{self.name}: there is no test {test}"]
        return problems if self.tests else [*problems, f"{self.name}: it names no test"]


def read() -> list[Mutation]:
    """All guards, in their order."""
    return [Mutation(**{**row, "tests": tuple(row["tests"])}) for row in _rows("mutation")]


def read_faults() -> list[Fault]:
    """All faults, in their order."""
    return [Fault(**row) for row in _rows("fault")]


def _rows(kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "mutations.toml").read_text())[kind]
    return rows
