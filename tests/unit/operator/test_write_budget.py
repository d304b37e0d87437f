"""What may wait is not written while there is much else to write."""

from order_operator.orders.write_budget import QUIET_WRITES, SECOND, WriteBudget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_as_many_writes_in_a_second_are_quiet_and_one_more_is_not() -> None:
    clock = Clock()
    budget = WriteBudget(clock)
    for _ in range(QUIET_WRITES - 1):
        budget.wrote()

    assert budget.quiet
    budget.wrote()
    assert not budget.quiet


def test_after_a_second_without_writes_it_is_quiet_again() -> None:
    clock = Clock()
    budget = WriteBudget(clock)
    for _ in range(2 * QUIET_WRITES):
        budget.wrote()

    clock.now += SECOND

    assert budget.quiet
