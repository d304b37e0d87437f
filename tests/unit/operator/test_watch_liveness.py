"""A watch that was not answered for 90 s is deaf, whatever else is well."""

import pytest

from order_operator.watch_liveness import WatchLiveness, watched_path

ORDERS = watched_path("orders", "shop")
STOCK = watched_path("stockitems", "shop")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def two_watches() -> tuple[WatchLiveness, Clock]:
    clock = Clock()
    liveness = WatchLiveness(clock)
    for path in (ORDERS, STOCK):
        liveness.expect(path)
    return liveness, clock


def test_a_watch_that_has_just_begun_is_not_deaf() -> None:
    liveness, clock = two_watches()
    clock.now += 90

    assert liveness.problem() is None


def test_a_watch_that_is_answered_every_minute_is_not_deaf() -> None:
    liveness, clock = two_watches()

    for _ in range(5):
        clock.now += 60
        liveness.answered(ORDERS, watch=True)
        liveness.answered(STOCK, watch=True)
        assert liveness.problem() is None


def test_one_deaf_watch_among_others_is_named() -> None:
    """B22: only an object that was missed twice told of it."""
    liveness, clock = two_watches()
    clock.now += 60
    liveness.answered(ORDERS, watch=True)
    clock.now += 31

    assert liveness.problem() == f"the watch of {STOCK} has not been answered for 91 s"


def test_a_watch_that_is_answered_again_is_not_deaf_any_more() -> None:
    liveness, clock = two_watches()
    clock.now += 91
    for path in (ORDERS, STOCK):
        liveness.answered(path, watch=True)

    assert liveness.problem() is None


def test_an_api_server_below_a_path_of_its_own_answers_too() -> None:
    liveness, clock = two_watches()
    clock.now += 91
    for path in (ORDERS, STOCK):
        liveness.answered(f"/k8s/clusters/c-1{path}", watch=True)

    assert liveness.problem() is None


@pytest.mark.parametrize("other", [watched_path("orders", ""), watched_path("orders", "other"), f"{ORDERS}/order"])
def test_an_answer_about_something_else_proves_nothing(other: str) -> None:
    liveness, clock = two_watches()
    clock.now += 91
    liveness.answered(STOCK, watch=True)
    liveness.answered(other, watch=True)

    problem = liveness.problem()
    assert problem is not None
    assert ORDERS in problem


def test_before_anything_is_watched_nothing_is_deaf() -> None:
    assert WatchLiveness().problem() is None


@pytest.mark.parametrize("path", [watched_path("orders", ""), watched_path("orders", "shop")])
def test_a_watch_that_asks_for_changes_has_been_through_its_list(path: str) -> None:
    liveness = WatchLiveness()
    liveness.expect(path)

    liveness.answered(path, watch=False)
    assert not liveness.has_listed("orders", "shop")

    liveness.answered(path, watch=True)
    assert liveness.has_listed("orders", "shop")
    assert not liveness.has_listed("stockitems", "shop")
