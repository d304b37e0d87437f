"""Who asks a database that is away, and who learns at once that it is."""

import pytest

from order_domain.errors import LedgerUnavailable
from order_worker.ledger.circuit_breaker import PAUSE_SECONDS, CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Refused(Exception):
    """No connection."""


def fail(breaker: CircuitBreaker) -> None:
    with pytest.raises(Refused), breaker.attempt():
        raise Refused


def is_open(breaker: CircuitBreaker) -> bool:
    try:
        with breaker.attempt() as attempt:
            attempt.connected()
    except LedgerUnavailable:
        return False
    return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def test_a_database_that_answers_is_open_to_any_number_at_once(breaker: CircuitBreaker) -> None:
    with breaker.attempt() as first:
        first.connected()
        assert is_open(breaker)


def test_an_error_after_the_connection_was_made_says_nothing_about_the_next_one(breaker: CircuitBreaker) -> None:
    def break_down() -> None:
        with breaker.attempt() as attempt:
            attempt.connected()
            raise Refused

    with pytest.raises(Refused):
        break_down()

    assert is_open(breaker)


def test_after_a_failed_connection_nobody_tries_for_a_moment(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)

    assert not is_open(breaker)
    clock.now += PAUSE_SECONDS
    assert is_open(breaker)


def test_one_caller_finds_out_and_the_others_do_not_wait_for_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += PAUSE_SECONDS

    with breaker.attempt() as probe:
        assert not is_open(breaker)
        probe.connected()
        assert is_open(breaker)


def test_a_probe_that_fails_is_followed_by_another_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += PAUSE_SECONDS
    fail(breaker)

    assert not is_open(breaker)
    clock.now += PAUSE_SECONDS
    assert is_open(breaker)
