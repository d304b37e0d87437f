"""The table of faults names tests that exist, covers what it has to, and the page is written from it."""

import pytest
from fault_page import CHECKOUT, PAGE, Fault, Guard, page, read, read_guards

GUARDS = read_guards()


@pytest.mark.parametrize("fault", read(), ids=lambda fault: fault.id)
def test_a_fault_names_tests_that_exist_or_says_why_there_are_none(fault: Fault) -> None:
    assert fault.problems(CHECKOUT) == []


def test_every_fault_has_a_row() -> None:
    assert [fault.id for fault in read()] == [f"F{number:02}" for number in range(1, 81)]


def test_few_faults_are_without_a_test() -> None:
    assert [fault.id for fault in read() if not fault.tests] == ["F62", "F66"]


def test_a_test_that_does_not_exist_is_told() -> None:
    fault = Fault("F99", "operator", "", ("tests/faults/test_fault_page.py::test_nothing",))

    assert fault.problems(CHECKOUT) == ["F99: there is no test tests/faults/test_fault_page.py::test_nothing"]


def test_a_fault_without_test_and_reason_is_told() -> None:
    assert Fault("F99", "operator", "").problems(CHECKOUT) == ["F99 has neither a test nor a reason"]


@pytest.mark.parametrize("fault", [fault for fault in read() if fault.tests], ids=lambda fault: fault.id)
def test_a_fault_with_tests_has_a_guard_or_says_why_it_has_none(fault: Fault) -> None:
    assert fault.guards(GUARDS) or fault.unguarded


def test_no_fault_that_has_a_guard_says_why_it_has_none() -> None:
    assert [fault.id for fault in read() if fault.unguarded and fault.guards(GUARDS)] == []


@pytest.mark.parametrize(
    ("own", "other", "is_one"),
    [
        ("test_a.py::test_b", "test_a.py::test_b", True),
        ("test_a.py::test_b[c]", "test_a.py::test_b", True),
        ("test_a.py::test_b", "test_a.py::test_b[c]", True),
        ("test_a.py::test_b[c]", "test_a.py::test_b[d]", False),
        ("test_a.py::test_b", "test_a.py::test_b_too", False),
        ("test_a.py::test_b", "test_e.py::test_b", False),
    ],
)
def test_a_guard_is_a_faults_when_it_names_its_test(own: str, other: str, is_one: bool) -> None:
    guard = Guard("guard", "section", (other,))

    assert Fault("F99", "operator", "", (own,)).guards([guard]) == [guard] * is_one


def test_the_page_of_faults_is_written_from_the_table() -> None:
    assert PAGE.read_text() == page()
