"""A queue of keys to look at again: level-triggered, delaying, one at a time per key.

What happened to a key is not queued, only that something did; the reconciler reads the present state. A key added
while it is being processed is processed once more afterwards.
"""

import asyncio
import heapq
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping

from order_operator import backoff, metrics
from order_operator.figures import Running

MAX_BACKOFF_SECONDS = 10.0
"""Longest wait between two attempts at one key. Kept short so that recovery is noticed within ten seconds."""
MAX_REFUSED_SECONDS = 300.0
"""The same for a key whose write was refused for its content or for want of rights: only a person ends that."""

logger = logging.getLogger(__name__)


class TryLater(Exception):
    """What was to be done failed for a known reason; says which, and when to try again."""

    def __init__(self, message: str, *, after: float | None = None, refused: bool = False) -> None:
        """`after`: seconds that the other side asked for; `refused`: trying again soon would give the same answer."""
        super().__init__(message)
        self.after = after
        self.longest = MAX_REFUSED_SECONDS if refused else MAX_BACKOFF_SECONDS


class WorkQueue:
    """`concurrency` keys are processed at once by `process`, which returns after how many seconds to look again, or
    None. A key whose processing raises is tried again with an exponential back-off of its own. `about` says in log
    lines what a key stands for."""

    def __init__(
        self,
        process: Callable[[str], Awaitable[float | None]],
        *,
        concurrency: int,
        handler: str,
        about: Callable[[str], Mapping[str, object]] = lambda key: {"uid": key},
        group: Callable[[str], str] = lambda _: "",
        of_a_group: int | None = None,
    ) -> None:
        """`handler` is the kind of resource, for the metrics; `about` is what the log says of a key. Keys of one
        `group`, such as a namespace, take turns with those of others, and at most `of_a_group` of them are processed at
        once (None: as many as of all): a thousand in one hold up nobody elsewhere."""
        self._process = process
        self._about = about
        self._concurrency = concurrency
        self._of_a_group = concurrency if of_a_group is None else of_a_group
        # Looked up once: it is done several times for each key.
        self._depth, self._inflight = metrics.QUEUE_DEPTH.labels(handler), metrics.INFLIGHT.labels(handler)
        self._seconds = metrics.RECONCILE_SECONDS.labels(handler)
        self._results = {result: metrics.RECONCILES.labels(handler, result) for result in ("ok", "retry", "error")}
        self.running = Running()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        """What is not due yet, with some entries that are overtaken."""
        self._group = group
        self._ready: dict[str, deque[tuple[float, str]]] = {}
        """What is due, by group; the first group is the next to have its turn."""
        self._busy: dict[str, str] = {}
        """What is being processed, with its group as it was at the beginning."""
        self._failures: dict[str, int] = {}
        self._left_alone_until: dict[str, float] = {}
        self._wake = asyncio.Event()

    def add(self, key: str, *, delay: float = 0.0) -> None:
        """Look at `key` in `delay` seconds, or earlier if an earlier look is already due; but not within the time for
        which the other side asked to be left alone."""
        due = max(time.monotonic() + delay, self._left_alone_until.get(key, 0.0))
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._wake.set()

    def __len__(self) -> int:
        return len(self._due)

    async def run(self) -> None:
        """Process keys until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                wait = self._start_due(group)
                self._wake.clear()
                try:
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def _start_due(self, group: asyncio.TaskGroup) -> float | None:
        """Start what is due and free; the seconds until the next key is due, None if there is none to wait for."""
        wait = self._sort_due()
        blocked: list[tuple[float, str]] = []
        while len(self._busy) < self._concurrency and (name := self._next_group()) is not None:
            entries = self._ready.pop(name)
            due, key = entries.popleft()
            if entries:
                self._ready[name] = entries  # last in the row
            if self._due.get(key) != due:
                continue
            if key in self._busy:
                blocked.append((due, key))
                continue
            del self._due[key]
            self._busy[key] = name
            group.create_task(self._handle(key))
        for entry in blocked:
            heapq.heappush(self._heap, entry)
        self._depth.set(len(self._due))
        return wait

    def _next_group(self) -> str | None:
        """The first that has less under way than it may; the few that have not are passed over."""
        under_way = Counter(self._busy.values())
        return next((name for name in self._ready if under_way[name] < self._of_a_group), None)

    def _sort_due(self) -> float | None:
        """Put what has come due into its group; the seconds until the next does."""
        while self._heap:
            due, key = self._heap[0]
            left = due - time.monotonic()
            if left > 0 and self._due.get(key) == due:
                return left
            heapq.heappop(self._heap)
            if self._due.get(key) == due:
                self._ready.setdefault(self._group(key), deque()).append((due, key))
        return None

    async def _handle(self, key: str) -> None:
        self.running.begin(key)
        self._inflight.inc()
        try:
            again = await self._process(key)
        except TryLater as later:
            failures = self._count_failure(key)
            if failures & (failures - 1) == 0:  # the first time, the second, the fourth: nobody reads the hundredth
                said = {"failures": failures, "error": str(later)}
                logger.warning("to be tried again", extra={**self._about(key), **said})
            if later.after is None:
                self.add(key, delay=backoff.growing(failures, later.longest))
            else:
                self._leave_alone(key, backoff.not_before(later.after))
        except Exception:
            failures = self._count_failure(key)
            logger.exception("reconciliation failed", extra={**self._about(key), "failures": failures})
            self.add(key, delay=backoff.growing(failures, MAX_BACKOFF_SECONDS))
        else:
            self._failures.pop(key, None)
            self._left_alone_until.pop(key, None)
            self._results["ok" if again is None else "retry"].inc()
            if again is not None:
                self.add(key, delay=again)
        finally:
            self._busy.pop(key, None)
            self._inflight.dec()
            self._seconds.observe(self.running.end(key))
            self._wake.set()

    def _leave_alone(self, key: str, seconds: float) -> None:
        """News that came during the attempt, or comes within that time, waits for it to be over."""
        self._due.pop(key, None)
        self._left_alone_until[key] = time.monotonic() + seconds
        self.add(key)

    def _count_failure(self, key: str) -> int:
        """In a row, of this key."""
        self._results["error"].inc()
        self._failures[key] = self._failures.get(key, 0) + 1
        return self._failures[key]
