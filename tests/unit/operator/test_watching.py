"""A watch in a thread of its own: what it does when kopf ends, and when it is told to stop."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kopf
import pytest

from order_operator import watching
from order_operator.handlers import registry_of_classes
from order_operator.watch_liveness import WatchLiveness
from order_operator.watching import Watch


class Kopf:
    """Runs until `ends`, whether or not it is told to stop, as kopf does for some seconds."""

    def __init__(self) -> None:
        self.began, self.told = threading.Semaphore(0), threading.Event()
        self.ends, self.ended = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.hangs = False

    async def spawn_tasks(self, *, stop_flag: asyncio.Event, **_: Any) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.watch(stop_flag))]

    async def run_tasks(self, tasks: list[asyncio.Task[None]], **_: Any) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.hangs:
            await self.never_ends()
        await tasks[0]

    async def never_ends(self) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def watch(self, stop_flag: asyncio.Event) -> None:
        self.began.release()
        if self.error is not None:
            raise self.error
        await stop_flag.wait()
        self.told.set()
        self.ends.wait(10)
        self.ended.set()


class Nobody:
    """Takes in what there is, and does nothing with it."""

    def put(self, body: Mapping[str, Any]) -> None:
        """One version of an object."""

    def remove(self, body: Mapping[str, Any]) -> None:
        """The last version of an object that is gone."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kopf]:
    fake = Kopf()
    monkeypatch.setattr(watching.kopf, "spawn_tasks", fake.spawn_tasks)
    monkeypatch.setattr(watching.kopf, "run_tasks", fake.run_tasks)
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

    assert fake.told.wait(30)
    assert not fake.ended.is_set()


def test_a_watch_that_fails_is_begun_again(fake: Kopf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LONGEST_PAUSE_SECONDS", 0.0)
    fake.error = RuntimeError("403 Forbidden")
    watch = a_watch()
    watch.start()

    assert fake.began.acquire(timeout=30)
    assert fake.began.acquire(timeout=30)
    watch.stop()


def test_a_watch_is_begun_again_though_kopf_never_comes_to_its_end(fake: Kopf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of the other kind waited for credentials, and heeded no cancelling: no order was heard of any more."""
    monkeypatch.setattr(watching, "LONGEST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(watching, "END_SECONDS", 0.1)
    fake.error, fake.hangs = RuntimeError("410 Gone"), True
    watch = a_watch()
    watch.start()

    assert fake.began.acquire(timeout=30)
    assert fake.began.acquire(timeout=30)
    watch.stop()


def test_a_watch_that_kopf_itself_has_ended_is_begun_again_and_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """kopf kept a thread waiting for the stop: a namespace without rights made one more of them each minute."""
    monkeypatch.setattr(watching, "LONGEST_PAUSE_SECONDS", 0.0)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # so that kopf finds no credentials, and ends
    before = set(threading.enumerate())
    began, left = threading.Semaphore(0), set[threading.Thread]()

    def registry() -> kopf.OperatorRegistry:
        left.update(thread for thread in threading.enumerate() if thread not in before)
        began.release()
        return registry_of_classes(Nobody(), lambda _take, _body: None, lambda _path: None)

    watch = Watch("classes", registry, ["orderclasses"], [], WatchLiveness())
    watch.start()

    try:
        assert began.acquire(timeout=60)
        assert began.acquire(timeout=60)
        assert left == {watch._thread}
    finally:
        watch.stop()
        watch._thread.join(60)


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
    liveness.answered("/apis/order-platform.dev/v1alpha1/orders", watch=True)

    assert liveness.problem() is not None
    assert "/apis/order-platform.dev/v1alpha1/stockitems" in (liveness.problem() or "")
    watch.stop()


async def test_what_another_thread_brings_is_taken_in_its_order_and_one_that_fails_harms_no_other() -> None:
    deliver, taken, all_taken = watching.on_this_loop(), list[int](), asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def take(body: Mapping[str, Any]) -> None:
        if body["number"] == COUNT:
            all_taken.set()
        elif body["number"] % 100 == 50:
            raise ValueError("poison")
        taken.append(body["number"])

    def bring() -> None:
        for number in range(COUNT + 1):
            deliver(take, {"number": number})

    thread = threading.Thread(target=bring)
    thread.start()
    async with asyncio.timeout(5):
        await all_taken.wait()

    assert taken == [number for number in range(COUNT + 1) if number % 100 != 50]


COUNT = 3_000
