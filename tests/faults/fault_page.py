"""Writes docs/faults.md from faults.toml: `python tests/faults/fault_page.py`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "faults.md"
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

What the code does against faults of its own is in [guarantees.md](guarantees.md). This page is written from
`tests/faults/faults.toml` by `python tests/faults/fault_page.py`.
"""


@dataclass(frozen=True)
class Fault:
    """One row; the file says what its fields mean."""

    id: str
    part: str
    what: str
    tests: tuple[str, ...] = ()
    left: str = ""

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


def page() -> str:
    """All of it."""
    return HEAD + "".join(_section(part) for part in PARTS)


def _section(part: str) -> str:
    lines = [f"\n## {PARTS[part]}\n", "| | fault | tests | what is left |", "|---|---|---|---|"]
    for fault in read():
        if fault.part == part:
            tests = "<br>".join(f"`{test.rpartition('/')[2]}`" for test in fault.tests)
            lines.append(f"| {fault.id} | {fault.what} | {tests} | {fault.left} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
