"""Writes docs/faults.md from faults.toml: `python tests/faults/fault_page.py`."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "faults.md"
GUARDS = CHECKOUT / "tests" / "mutations" / "mutations.toml"
PARTS = {
    "operator": "The operator's process",
    "kubernetes": "The Kubernetes API and etcd",
    "hand": "People's hands",
    "input": "Bad input",
    "temporal": "Temporal",
    "worker": "Workers and time",
    "money": "Money, the ledger and its keys",
}
HEAD = """# What goes wrong around an order, and the tests that cause it

Each fault has the tests that cause it and see orders end right all the same: one workflow for each, charged once, no
finalizer left, nothing going backward. Where a test does less than the fault says, or none does, it is told what is
left and why. Most of these tests take long and belong to `make test-long`. Between the operator and its servers they
put [toxiproxy](https://github.com/Shopify/toxiproxy) for faults of bytes, and a proxy of their own,
`tests/integration/api_proxy.py`, for single requests and events.

A guard is a piece of the code that is taken away to see a test fail; [guarantees.md](guarantees.md) has all of them.
Under "guards" are those for which a test of the same row is run. Where nothing of the code can be taken away, it is
told why.

This page is written from `tests/faults/faults.toml` and `tests/mutations/mutations.toml` by
`python tests/faults/fault_page.py`.
"""


@dataclass(frozen=True)
class Guard:
    """What is taken of a guard of mutations.toml."""

    name: str
    anchor: str
    """Of its section in docs/guarantees.md."""
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """One row; the file says what its fields mean."""

    id: str
    part: str
    what: str
    tests: tuple[str, ...] = ()
    left: str = ""
    unguarded: str = ""

    def guards(self, known: Sequence[Guard]) -> list[Guard]:
        """Those that a test of this row is run for."""
        return [guard for guard in known if any(_overlap(own, other) for own in self.tests for other in guard.tests)]

    def problems(self, root: Path) -> list[str]:
        """Why the row cannot stand; empty if it can."""
        problems = [] if self.tests or self.left else [f"{self.id} has neither a test nor a reason"]
        problems += [] if self.part in PARTS else [f"{self.id}: there is no part {self.part}"]
        for test in self.tests:
            file, _, name = test.partition("::")
            function = name.partition("[")[0]
            known = (root / file).is_file() and f"def {function}(" in (root / file).read_text()
            problems += [] if known else [f"{self.id}: there is no test {test}"]
        return problems


def read() -> list[Fault]:
    """All rows, in their order."""
    rows = tomllib.loads((Path(__file__).parent / "faults.toml").read_text())["fault"]
    return [Fault(**{**row, "tests": tuple(row.get("tests", ()))}) for row in rows]


def read_guards() -> list[Guard]:
    """All guards of mutations.toml, in their order."""
    table = tomllib.loads(GUARDS.read_text())
    severities = {fault["name"]: fault["severity"] for fault in table["fault"]}
    return [
        Guard(row["name"], f"{row['fault']}-{severities[row['fault']]}", tuple(row["tests"]))
        for row in table["mutation"]
    ]


def page() -> str:
    """All of it."""
    faults, guards = read(), read_guards()
    return HEAD + "".join(_section(part, faults, guards) for part in PARTS)


def _section(part: str, faults: Sequence[Fault], known: Sequence[Guard]) -> str:
    lines = [f"\n## {PARTS[part]}\n", "| | fault | tests | guards | what is left |", "|---|---|---|---|---|"]
    for fault in faults:
        if fault.part == part:
            tests = "<br>".join(f"`{test.rpartition('/')[2]}`" for test in fault.tests)
            links = [f"[`{guard.name}`](guarantees.md#{guard.anchor})" for guard in fault.guards(known)]
            guards = "<br>".join(links) or fault.unguarded
            lines.append(f"| {fault.id} | {fault.what} | {tests} | {guards} | {fault.left} |")
    return "\n".join(lines) + "\n"


def _overlap(one: str, other: str) -> bool:
    """A test without parameters stands for all of its cases."""
    function, _, case = one.partition("[")
    other_function, _, other_case = other.partition("[")
    return function == other_function and (not case or not other_case or case == other_case)


if __name__ == "__main__":
    PAGE.write_text(page())
