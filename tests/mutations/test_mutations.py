"""The table of guards fits the code, and the runner tells a guard that a test misses from one that none does."""

from pathlib import Path

import pytest
import run_mutations
from guarantees import PAGE, page
from mutation_table import CHECKOUT, Mutation, read, read_faults

TEST = "tests/unit/devstack/test_ports.py::test_a_port_somebody_listens_on_is_not_free"


REST = "\n            return False"


def a_mutation(name: str, replacement: str, test: str = TEST, text: str = f"except OSError:{REST}") -> Mutation:
    return Mutation("a-fault", name, f"{name} is safe.", "devstack/order_devstack/ports.py", text, replacement, (test,))


@pytest.mark.parametrize("mutation", read(), ids=lambda mutation: mutation.name)
def test_every_row_can_be_applied_to_the_code(mutation: Mutation) -> None:
    assert mutation.problems(CHECKOUT) == []


def test_no_two_rows_have_one_name() -> None:
    for names in ([mutation.name for mutation in read()], [fault.name for fault in read_faults()]):
        assert len(names) == len(set(names))


def test_every_fault_has_a_guard_or_a_reason_why_not() -> None:
    guarded, faults = {mutation.fault for mutation in read()}, read_faults()

    assert guarded == {fault.name for fault in faults if fault.reason is None}
    assert {fault.severity for fault in faults} <= {"critical", "high", "medium", "lower"}


def test_a_reason_stands_for_few_faults_and_for_no_grave_one() -> None:
    faults = read_faults()
    without = [fault for fault in faults if fault.reason is not None]

    assert 10 * len(without) <= len(faults)
    assert {fault.severity for fault in without} <= {"medium", "lower"}


def test_the_page_for_maintainers_is_written_from_the_table() -> None:
    assert PAGE.read_text() == page()


@pytest.mark.parametrize(
    ("mutation", "problem"),
    [
        (a_mutation("m", "", text="no such text"), "its text stands 0 times in devstack/order_devstack/ports.py"),
        (a_mutation("m", "", text="\n"), "its text stands"),
        (a_mutation("m", "", test="tests/unit/devstack/test_ports.py::test_nothing"), "there is no test"),
    ],
    ids=["gone", "ambiguous", "no test"],
)
def test_a_row_that_does_not_fit_the_code_is_told(mutation: Mutation, problem: str) -> None:
    [told] = mutation.problems(CHECKOUT)

    assert problem in told


def test_a_guard_that_no_test_misses_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = [
        a_mutation("missed", f"except ArithmeticError:{REST}"),
        a_mutation("not-missed", f"except OSError:  # as before{REST}"),
        a_mutation("no-python", "except:::"),
    ]
    monkeypatch.setattr(run_mutations, "read", lambda: rows)
    before = {row.file: (CHECKOUT / row.file).read_bytes() for row in rows}

    assert run_mutations.main(["--processes", "1"]) == 1

    words = {
        line.split()[2].rstrip(","): line.split()[1] for line in capsys.readouterr().out.splitlines() if "]" in line
    }
    assert words == {"missed": "caught", "not-missed": "SURVIVED", "no-python": "BROKEN"}
    assert {file: (CHECKOUT / file).read_bytes() for file in before} == before
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_not_in_the_table_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_mutations.main(["no-such-row"]) == 2

    assert "no mutation is called no-such-row" in capsys.readouterr().err
