"""How waits grow, and that no two of them need be alike."""

import pytest

from order_operator import backoff


def test_each_wait_is_at_most_twice_the_one_before_up_to_the_longest() -> None:
    longest = [max(backoff.growing(failures, 10.0) for _ in range(200)) for failures in (1, 2, 3, 4, 5, 40)]

    assert longest == pytest.approx([1, 2, 4, 8, 10, 10], rel=0.1)


def test_a_wait_is_never_less_than_half_of_its_most() -> None:
    shortest = [min(backoff.growing(failures, 10.0) for _ in range(200)) for failures in (1, 2, 3, 4, 5, 40)]

    assert shortest == pytest.approx([0.5, 1, 2, 4, 5, 5], rel=0.1)


def test_however_often_it_failed_a_wait_can_be_reckoned() -> None:
    assert backoff.growing(1_000_000, 300.0) <= 300.0


def test_waits_are_not_alike() -> None:
    for wait in (lambda: backoff.growing(3, 10.0), lambda: backoff.at_most(10.0), lambda: backoff.not_before(10.0)):
        assert len({wait() for _ in range(20)}) > 1


def test_a_look_that_is_due_is_not_late() -> None:
    assert all(7.5 <= backoff.at_most(10.0) <= 10.0 for _ in range(200))


def test_what_asked_to_be_left_alone_is_left_alone_for_that_time() -> None:
    assert all(10.0 <= backoff.not_before(10.0) <= 15.0 for _ in range(200))
