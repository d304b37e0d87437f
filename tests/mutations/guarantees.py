"""Writes docs/guarantees.md from mutations.toml: `python tests/mutations/guarantees.py`."""

from mutation_table import CHECKOUT, Fault, Mutation, read, read_faults

PAGE = CHECKOUT / "docs" / "guarantees.md"

HEAD = """# What must not happen, and what keeps it away

Each fault below was found once, in this code or in its design. Under it stand the guards that keep it away, each with
the file that has it and the tests that fail without it. `make test-mutations` takes one guard after the other away, in
a copy of the checkout, and sees one of its tests fail; `make test-mutations NAME=guard` does so for one.

Who changes one of these files keeps the guard or puts another in its place, and changes its row in
`tests/mutations/mutations.toml`. This page is written from that file by `python tests/mutations/guarantees.py`.
"""


def page() -> str:
    """All of it."""
    guards: dict[str, list[Mutation]] = {}
    for mutation in read():
        guards.setdefault(mutation.fault, []).append(mutation)
    return HEAD + "".join(_section(fault, guards.get(fault.name, [])) for fault in read_faults())


def _section(fault: Fault, guards: list[Mutation]) -> str:
    lines = [f"\n## {fault.name.replace('-', ' ').capitalize()} ({fault.severity})\n", f"{fault.what}\n"]
    if fault.reason is not None:
        lines.append(f"No test holds this. {fault.reason}")
    for guard in guards:
        tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in guard.tests)
        lines.append(f"- `{guard.name}`: {guard.guard} `{guard.file}`; {tests}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
