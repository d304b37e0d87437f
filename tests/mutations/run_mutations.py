"""Take away one guard after the other, each in a copy of this checkout, and see its tests fail.

    python tests/mutations/run_mutations.py [--processes N] [NAME ...]

The checkout is never changed; what is not committed is in the copy too. Exit code 0 only if every guard was missed by a
test. A guard whose absence no test notices is a survivor: it needs a test, or is no guard.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mutation_table import CHECKOUT, Mutation, read

PACKAGE_FOLDERS = ("codec", "console", "operator", "worker", "workflows", "process", "devstack", "cli")
TEST_SECONDS = 120
"""A test that hangs without the guard has noticed."""
ALL_SECONDS = 300
"""So has a pytest that does not end, since a thread of the code hangs."""
PASSED, FAILED = 0, 1
"""pytest's exit codes; another one means that it could not run the tests at all."""
LINES_SHOWN = 15


@dataclass(frozen=True)
class Verdict:
    """What became of one mutation."""

    mutation: Mutation
    word: str
    """`caught`, `SURVIVED` or `BROKEN`: the tests could not be run."""
    seconds: float
    output: str


def level_of(test: str) -> str:
    """The folder below `tests`."""
    return test.split("/")[1]


class Tree:
    """A copy of the checkout, for one mutation at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (CHECKOUT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / name, root / name)

    def pytest(self, tests: Sequence[str], *options: str) -> "subprocess.CompletedProcess[str]":
        """Run tests of the copy against the code of the copy, one level after the other up to one that does not pass:
        `conftest` is the name of a module in each."""
        for level in sorted({level_of(test) for test in tests}):
            done = self._pytest([test for test in tests if level_of(test) == level], *options)
            if done.returncode != PASSED:
                break
        return done

    def _pytest(self, tests: Sequence[str], *options: str) -> "subprocess.CompletedProcess[str]":
        folders = os.pathsep.join(str(self.root / folder) for folder in PACKAGE_FOLDERS)
        environment = {**os.environ, "PYTHONPATH": folders, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}"]
        arguments = [*command, *options, *tests]
        try:
            return subprocess.run(
                arguments,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=ALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(arguments, FAILED, f"pytest has not ended after {ALL_SECONDS} s")

    def try_out(self, mutation: Mutation) -> Verdict:
        """Run the mutation's tests without its guard."""
        file = self.root / mutation.file
        original = file.read_text()
        began = time.monotonic()
        file.write_text(original.replace(mutation.text, mutation.replacement))
        try:
            done = self.pytest(mutation.tests, "--exitfirst")
        finally:
            file.write_text(original)
        word = {PASSED: "SURVIVED", FAILED: "caught"}.get(done.returncode, "BROKEN")
        return Verdict(mutation, word, time.monotonic() - began, done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    known = read()
    unknown = sorted(set(options.names) - {each.name for each in known})
    if unknown:
        return _complain([f"no mutation is called {name}" for name in unknown])
    chosen = [each for each in known if not options.names or each.name in options.names]
    problems = [problem for each in chosen for problem in each.problems(CHECKOUT)]
    if problems:
        return _complain(problems)
    with tempfile.TemporaryDirectory(prefix="order-mutations-") as folder:
        trees = [Tree(Path(folder) / str(number)) for number in range(min(options.processes, len(chosen)))]
        tests = sorted({test for each in chosen for test in each.tests})
        print(f"{len(tests)} tests on the code as it is: each has to pass", flush=True)
        began = time.monotonic()
        with ThreadPoolExecutor(len(trees)) as pool:
            shares = [tests[number :: len(trees)] for number in range(len(trees))]
            for done in pool.map(lambda tree, share: tree.pytest(share), trees, shares):
                if done.returncode != PASSED:
                    return _complain(["they do not all pass:", *_end(done.stdout)])
        print(f"they pass, {time.monotonic() - began:.0f} s", flush=True)
        return _report(_try_all(trees, chosen), len(chosen))


def _try_all(trees: Sequence[Tree], mutations: Sequence[Mutation]) -> list[Verdict]:
    free: queue.SimpleQueue[Tree] = queue.SimpleQueue()
    for tree in trees:
        free.put(tree)

    def one(mutation: Mutation) -> Verdict:
        tree = free.get()
        try:
            return tree.try_out(mutation)
        finally:
            free.put(tree)

    verdicts = []
    with ThreadPoolExecutor(len(trees)) as pool:
        try:
            for future in as_completed([pool.submit(one, each) for each in mutations]):
                verdict = future.result()
                verdicts.append(verdict)
                place = f"[{len(verdicts)}/{len(mutations)}]"
                print(f"{place:8} {verdict.word:9} {verdict.mutation.name}, {verdict.seconds:.0f} s", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return verdicts


def _report(verdicts: Sequence[Verdict], count: int) -> int:
    bad = [verdict for verdict in verdicts if verdict.word != "caught"]
    print(f"\n{count - len(bad)} of {count} guards are missed by a test when they are taken away.")
    for verdict in bad:
        mutation = verdict.mutation
        print(f"\n{verdict.word}: {mutation.name} ({mutation.file})\n  {mutation.guard}")
        print(*(f"  {test}" for test in mutation.tests), sep="\n")
        if verdict.word == "BROKEN":
            print(*(f"  | {line}" for line in _end(verdict.output)), sep="\n")
    return 1 if bad else 0


def _end(output: str) -> list[str]:
    return output.splitlines()[-LINES_SHOWN:]


def _complain(lines: Sequence[str]) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; without any, all")
    parser.add_argument("--processes", type=int, default=2, help="how many at a time (default: %(default)s)")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
