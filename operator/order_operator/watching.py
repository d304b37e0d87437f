"""kopf's watches, each in a thread of its own: for the classes, and for each watched namespace or for all together.

kopf takes the whole event loop for its own: when a watch ends, because a namespace has withdrawn its rights say, it
cancels every task that was started after it, and it takes over the process's signals. In a thread with a loop of its
own it ends nothing but itself, and is started again.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import kopf

from order_operator import metrics
from order_operator.cluster.api_names import ORDER_CLASSES, ORDERS, STOCK_ITEMS
from order_operator.handlers import build_settings, registry_of_classes, registry_of_resources
from order_operator.kopf_answers import Deliver, Kind
from order_operator.watch_liveness import WatchLiveness, watched_path

LONGEST_PAUSE_SECONDS = 60.0
END_SECONDS = 6.0
"""How long kopf may take to end once one of its tasks has: it gives the others five seconds, and waits without a limit
for those that do not heed its cancelling, such as a request that waits for credentials that nobody brings any more."""
TAKEN_AT_ONCE = 100
"""Objects, before others get their turn."""

logger = logging.getLogger(__name__)


class Watch:
    """One kopf operator that is started again whenever it ends."""

    def __init__(
        self,
        name: str,
        registry: Callable[[], kopf.OperatorRegistry],
        plurals: Sequence[str],
        namespaces: Sequence[str],
        liveness: WatchLiveness,
    ) -> None:
        """`name`: for the log, and label of the metric; `plurals`: the kinds that `registry` has handlers for;
        `namespaces`: empty for the whole cluster; `liveness` is told of the watches that begin."""
        self._name = name
        metrics.WATCH_FAILURES.labels(watch=name)  # a rate over what is not there yet misses its first
        self._paths = [watched_path(plural, where) for plural in plurals for where in namespaces or [""]]
        self._liveness = liveness
        self._registry = registry
        self._namespaces = namespaces
        self._stop = threading.Event()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        """The loop in which kopf runs, and what tells it there to end."""
        self._thread = threading.Thread(target=self._run, name=f"watch-{name}", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        for path in self._paths:
            self._liveness.expect(path)
        self._thread.start()

    def stop(self) -> None:
        """Return at once. kopf comes to an end by itself, in seconds, and brings nothing more that anybody works on."""
        self._stop.set()
        if self._running is not None:
            loop, end = self._running
            with contextlib.suppress(RuntimeError):  # kopf has just ended, and its loop with it
                loop.call_soon_threadsafe(end.set)

    async def _watch(self) -> None:
        # An event of the loop: for one of threads kopf would keep a thread waiting, also after it has ended.
        end = asyncio.Event()
        self._running = (asyncio.get_running_loop(), end)
        if self._stop.is_set():
            return
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=build_settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=end,
        )
        running = asyncio.create_task(kopf.run_tasks(tasks, ignored=ours))
        await asyncio.wait([running, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([running], timeout=END_SECONDS)
        if not running.done():
            raise TimeoutError(f"kopf has not come to its end in {END_SECONDS:.0f} s")
        running.result()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            error, began = "it ended by itself", time.monotonic()
            try:
                _run_to_its_end(self._watch())
            except (Exception, asyncio.CancelledError) as failed:  # noqa: BLE001 - whatever it is, the others go on
                error = f"{type(failed).__name__}: {failed}"
            if self._stop.is_set():
                return
            failures = failures + 1 if time.monotonic() - began < LONGEST_PAUSE_SECONDS else 1
            metrics.WATCH_FAILURES.labels(watch=self._name).inc()
            pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(failures, 6))
            logger.warning(
                "a watch ended and is started again: has the operator the right to list and watch there?",
                extra={"watch": self._name, "error": error[:500], "pause_seconds": pause},
            )
            self._stop.wait(pause)


def _run_to_its_end(watch: Coroutine[Any, Any, None]) -> None:
    """As `asyncio.run`, but for tasks that do not end when they are cancelled: those are left behind."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(watch)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        loop.close()


def watches_of(
    namespaces: Sequence[str],
    *,
    orders: Kind,
    stock: Kind,
    classes: Kind,
    deliver: Deliver,
    liveness: WatchLiveness,
) -> list[Watch]:
    """One for the classes, and one for each of `namespaces`, or for all together if none is named."""

    def of_resources(name: str, where: Sequence[str]) -> Watch:
        registry = partial(registry_of_resources, orders, stock, deliver, liveness.answered)
        return Watch(name, registry, [ORDERS, STOCK_ITEMS], where, liveness)

    registry = partial(registry_of_classes, classes, deliver, liveness.answered)
    resources = [of_resources(name, [name]) for name in namespaces] or [of_resources("orders", [])]
    return [Watch("classes", registry, [ORDER_CLASSES], [], liveness), *resources]


def on_this_loop() -> Deliver:
    """Hands what other threads bring to the loop that runs now, in its order. The loop is woken once for all that has
    come meanwhile: at the start a hundred thousand objects do, and each waking costs as much as the object."""
    loop = asyncio.get_running_loop()
    brought: deque[tuple[Callable[[Mapping[str, Any]], None], Mapping[str, Any]]] = deque()
    woken = threading.Event()

    def take() -> None:
        woken.clear()  # before the first is taken: what comes later wakes the loop again
        for _ in range(min(len(brought), TAKEN_AT_ONCE)):
            function, body = brought.popleft()
            loop.call_soon(function, body)  # one that fails harms no other
        if brought and not woken.is_set():
            woken.set()
            loop.call_soon(take)

    def deliver(function: Callable[[Mapping[str, Any]], None], body: Mapping[str, Any]) -> None:
        brought.append((function, body))
        if not woken.is_set() and not loop.is_closed():
            woken.set()
            loop.call_soon_threadsafe(take)

    return deliver
