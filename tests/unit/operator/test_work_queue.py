import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest

from order_operator import backoff, work_queue
from order_operator.work_queue import TryLater, WorkQueue

DEADLINE_SECONDS = 5.0
Process = Callable[[str], Awaitable[float | None]]


@asynccontextmanager
async def running(process: Process, *, concurrency: int = 10, **options: Any) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(process, concurrency=concurrency, handler="orders", **options)
    task = asyncio.create_task(queue.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield queue
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Processing:
    """Counts what runs; every key waits until released."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.now: Counter[str] = Counter()
        self.most_at_once = 0
        self.most_of_one_key = 0
        self.released = asyncio.Event()
        self._changed = asyncio.Condition()

    async def __call__(self, key: str) -> None:
        self.started.append(key)
        self.now[key] += 1
        self.most_at_once = max(self.most_at_once, self.now.total())
        self.most_of_one_key = max(self.most_of_one_key, self.now[key])
        await self._tell()
        try:
            await self.released.wait()
        finally:
            self.now[key] -= 1
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(holds)


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_added_key_is_processed() -> None:
    work = Processing()
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.started == ["a"])


async def test_a_key_is_never_processed_twice_at_once() -> None:
    work = Processing()
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.started == ["a"])

        queue.add("a")
        await settle()

        assert work.started == ["a"]
        assert work.most_of_one_key == 1


async def test_a_key_added_while_it_is_processed_is_processed_once_more() -> None:
    work = Processing()
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.started == ["a"])
        for _ in range(5):
            queue.add("a")

        work.released.set()
        await work.until(lambda: len(work.started) == 2 and not work.now.total())
        await settle()

        assert work.started == ["a", "a"]
        assert len(queue) == 0


async def test_a_busy_key_does_not_hold_up_others() -> None:
    work = Processing()
    async with running(work) as queue:
        queue.add("a")
        await work.until(lambda: work.started == ["a"])
        queue.add("a")

        queue.add("b")

        await work.until(lambda: work.started == ["a", "b"])


async def test_no_more_keys_are_processed_at_once_than_allowed() -> None:
    work = Processing()
    async with running(work, concurrency=3) as queue:
        for n in range(10):
            queue.add(str(n))
        await work.until(lambda: len(work.started) == 3)
        await settle()
        assert len(work.started) == 3

        work.released.set()
        await work.until(lambda: len(work.started) == 10)

        assert work.most_at_once == 3


async def test_of_two_times_the_earlier_counts() -> None:
    work = Processing()
    work.released.set()
    async with running(work) as queue:
        queue.add("a", delay=60)
        queue.add("a")

        await work.until(lambda: work.started == ["a"])
        await settle()

        assert len(queue) == 0


async def test_a_later_time_does_not_put_off_an_earlier_one() -> None:
    work = Processing()
    work.released.set()
    async with running(work) as queue:
        queue.add("a", delay=0.02)
        queue.add("a", delay=60)

        await work.until(lambda: work.started == ["a"])


async def test_a_delayed_key_waits() -> None:
    work = Processing()
    work.released.set()
    began = time.monotonic()
    async with running(work) as queue:
        queue.add("a", delay=0.1)

        await work.until(lambda: work.started == ["a"])

        assert time.monotonic() - began >= 0.1


async def test_a_key_is_looked_at_again_after_the_time_it_asked_for() -> None:
    times: list[float] = []
    twice = asyncio.Event()

    async def process(key: str) -> float | None:
        times.append(time.monotonic())
        if len(times) == 2:
            twice.set()
            return None
        return 0.05

    async with running(process) as queue:
        queue.add("a")
        await twice.wait()

    assert times[1] - times[0] >= 0.05


async def test_a_failing_key_backs_off_while_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "order_operator")
    monkeypatch.setattr(work_queue, "MAX_BACKOFF_SECONDS", 0.1)
    attempts: list[float] = []
    others = 0
    enough = asyncio.Event()

    async def process(key: str) -> float | None:
        nonlocal others
        if key == "other":
            others += 1
            return 0.01
        attempts.append(time.monotonic())
        if len(attempts) == 4:
            enough.set()
        raise RuntimeError("no")

    async with running(process) as queue:
        queue.add("failing")
        queue.add("other")
        await enough.wait()

    waits = [later - earlier for earlier, later in pairwise(attempts)]
    # The back-off is cut to between a half and the whole of 0.1 s.
    assert min(waits) >= 0.05
    assert others > len(attempts)


async def delays_after(outcomes: list[bool], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Which delay follows each failure, when one key's processing succeeds (True) and fails (False) like this."""

    def longest(_low: float, high: float) -> float:
        return high

    monkeypatch.setattr(backoff.random, "uniform", longest)
    left = list(outcomes)

    async def process(key: str) -> float | None:
        if not left.pop(0):
            raise RuntimeError("no")
        return None

    delays: list[float] = []

    class Recording(WorkQueue):
        def add(self, key: str, *, delay: float = 0.0) -> None:
            assert key == "a"
            delays.append(delay)

    queue = Recording(process, concurrency=1, handler="orders")
    for _ in outcomes:
        await queue._handle("a")
    return delays


async def test_the_back_off_grows_with_every_failure_up_to_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await delays_after([False] * 7, monkeypatch) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]


async def test_a_thousand_keys_of_one_group_hold_up_no_key_of_another() -> None:
    """An order waited for the thousand that somebody had applied in another namespace."""
    order: list[str] = []
    done = asyncio.Event()

    async def process(key: str) -> None:
        await asyncio.sleep(0)
        order.append(key)
        if len(order) == 1_010:
            done.set()

    async with running(process, concurrency=2, group=lambda key: key.partition("/")[0]) as queue:
        for number in range(1_000):
            queue.add(f"busy/{number}")
        for number in range(10):
            queue.add(f"calm/{number}")
        await done.wait()

    calm = [place for place, key in enumerate(order) if key.startswith("calm/")]
    assert max(calm) < 25


async def test_keys_of_one_group_that_never_end_leave_room_for_another() -> None:
    """Sixteen creations of one namespace that an API server held up would have held up every namespace."""
    work = Processing()

    async with running(work, concurrency=4, group=lambda key: key.partition("/")[0], of_a_group=2) as queue:
        for number in range(10):
            queue.add(f"stuck/{number}")
        await work.until(lambda: work.now.total() == 2)
        queue.add("calm/1")
        await work.until(lambda: work.now["calm/1"] == 1)

        assert sorted(+work.now) == ["calm/1", "stuck/0", "stuck/1"]
        work.released.set()
        await work.until(lambda: len(work.started) == 11 and not work.now.total())


async def test_within_a_group_the_first_that_came_is_the_first_that_is_processed() -> None:
    order: list[str] = []
    done = asyncio.Event()

    async def process(key: str) -> None:
        order.append(key)
        if len(order) == 5:
            done.set()

    async with running(process, concurrency=1) as queue:
        for key in "abcde":
            queue.add(key)
        await done.wait()

    assert order == list("abcde")


async def test_the_back_off_starts_anew_after_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await delays_after([False, False, True, False], monkeypatch) == [1.0, 2.0, 1.0]


async def test_a_failure_that_is_known_is_tried_again_and_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[str] = []
    done = asyncio.Event()

    async def process(key: str) -> None:
        attempts.append(key)
        if len(attempts) == 1:
            raise TryLater("429 Too Many Requests", after=0.0)
        done.set()

    async with running(process) as queue:
        queue.add("a")
        await done.wait()

    [line] = [record for record in caplog.records if record.name == work_queue.logger.name]
    assert (line.levelname, line.exc_info) == ("WARNING", None)


@pytest.mark.parametrize("while_it_is_tried", [True, False], ids=["during the attempt", "after it"])
async def test_news_do_not_shorten_the_time_for_which_the_other_side_asked_to_be_left_alone(
    while_it_is_tried: bool,
) -> None:
    attempts: list[float] = []
    done = asyncio.Event()

    async def process(key: str) -> None:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            if while_it_is_tried:
                queue.add(key)
            raise TryLater("429 Too Many Requests", after=0.2)
        done.set()

    async with running(process) as queue:
        queue.add("a")
        await settle()
        queue.add("a")
        await done.wait()

    assert attempts[1] - attempts[0] >= 0.2


@pytest.mark.parametrize(("refused", "longest"), [(False, 10.0), (True, 300.0)])
def test_what_only_a_person_can_end_is_tried_again_ever_more_rarely(refused: bool, longest: float) -> None:
    later = TryLater("422 Invalid", refused=refused)

    pauses = [backoff.growing(failures, later.longest) for failures in range(1, 30)]

    assert max(pauses) <= longest
    assert pauses[-1] >= longest / 2
    assert pauses[0] <= 1.0
