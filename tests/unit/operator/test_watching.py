"""A watch in a thread of its own: what it does when kopf ends, and when it is told to stop."""

import threading
from collections.abc import Iterator
from typing import Any

import kopf
import pytest

from order_operator import watching
from order_operator.watch_liveness import WatchLiveness
from order_operator.watching import Watch


class Kopf:
    """Runs until `ends`, whether or not it is told to stop, as kopf does for some seconds."""

    def __init__(self) -> None:
        self.began, self.ends, self.ended = threading.Semaphore(0), threading.Event(), threading.Event()
        self.stop_flag: threading.Event | None = None
        self.error: Exception | None = None

    def run(self, *, stop_flag: threading.Event, **_: Any) -> None:
        self.stop_flag = stop_flag
        self.began.release()
        if self.error is not None:
            raise self.error
        self.ends.wait(10)
        self.ended.set()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kopf]:
    fake = Kopf()
    monkeypatch.setattr(watching.kopf, "run", fake.run)
    yield fake
    fake.ends.set()


def a_watch(liveness: WatchLiveness | None = None) -> Watch:
    return Watch("orders", kopf.OperatorRegistry, ["orders", "stockitems"], [], liveness or WatchLiveness())


def test_stopping_waits_for_nobody(fake: Kopf) -> None:
    """The Lease is given back after it: kopf takes seconds to end."""
    watch = a_watch()
    watch.start()
    assert fake.began.acquire(timeout=30)

    watch.stop()

    assert not fake.ended.is_set()
    assert fake.stop_flag is not None
    assert fake.stop_flag.is_set()


def test_a_watch_that_fails_is_begun_again(fake: Kopf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LONGEST_PAUSE_SECONDS", 0.0)
    fake.error = RuntimeError("403 Forbidden")
    watch = a_watch()
    watch.start()

    assert fake.began.acquire(timeout=30)
    assert fake.began.acquire(timeout=30)
    watch.stop()


def test_liveness_expects_an_answer_for_every_kind_from_the_beginning(fake: Kopf) -> None:
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    liveness = WatchLiveness(clock)
    watch = a_watch(liveness)
    watch.start()
    assert fake.began.acquire(timeout=30)

    clock.now = 91.0
    liveness.answered("/apis/order-platform.dev/v1alpha1/orders")

    assert liveness.problem() is not None
    assert "/apis/order-platform.dev/v1alpha1/stockitems" in (liveness.problem() or "")
    watch.stop()
