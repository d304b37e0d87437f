"""Once a minute, less often where there are very many, all resources are listed, metadata only, and compared with what
the watch has brought and with the open workflows: a watch that missed something is noticed and made good, and workflows
without a resource are found."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from order_operator import metrics
from order_operator.cluster.api import KubernetesApi, Listed, NotFound
from order_operator.cluster.resource import Resource
from order_operator.work_queue import TryLater

INTERVAL_SECONDS = 60.0
LONGEST_INTERVAL_SECONDS = 300.0
SHARE_OF_TIME = 0.01
"""Of a core at the most: the metadata of a hundred thousand orders are two hundred pages to read."""

EVERYWHERE = "*"
"""Stands for all namespaces where they are listed together, and for what lies in none."""

logger = logging.getLogger(__name__)


class WentBack(Exception):
    """The API server's data is older than what was seen before: etcd was restored. What is known compares with nothing
    any more, and a fresh start is the cure."""


def interval(cost: float) -> float:
    """Seconds until the next list, when one has taken `cost` seconds of a core."""
    return min(LONGEST_INTERVAL_SECONDS, max(INTERVAL_SECONDS, cost / SHARE_OF_TIME))


class Cache(Protocol):
    """What the operator believes to be there of one kind."""

    plural: str

    def compare(self, listed: Mapping[str, Listed], version: int, covers: Callable[[str], bool], /) -> list[Listed]:
        """Make good what has gone since, by a list as of resourceVersion `version` of the namespaces that it `covers`;
        return what is not known yet."""

    def put(self, body: Mapping[str, Any], /) -> None:
        """Take in one object."""


def not_brought(listed: Mapping[str, Listed], version: int, known: Callable[[str], Resource | None]) -> list[Listed]:
    """What the watch has not brought yet, where it has brought what is `known` by uid; and, with the version that is
    known, what the list has in an earlier one although it is of a later resourceVersion, `version`."""
    found: list[Listed] = []
    for item in listed.values():
        resource = known(item.uid)
        if resource is None or resource.version < item.resource_version:
            found.append(item)
        elif item.resource_version < resource.version <= version:
            found.append(item._replace(known_version=resource.version))
    return found


class Inventory:
    """`problem` tells of a watch that has missed something for more than a whole interval, until it is taken anew."""

    def __init__(
        self,
        api: KubernetesApi,
        caches: Sequence[Cache],
        namespaces: Sequence[str],
        known: asyncio.Event,
        classes_listed: Callable[[Sequence[Mapping[str, Any]], int], None],
        has_listed: Callable[[str, str], bool],
        went_back: Callable[[], None],
    ) -> None:
        """`known`: set once Temporal's side is. `classes_listed` is given all OrderClasses each time, and the
        resourceVersion of their list. `has_listed`: whether the watch of a plural is through with its first list of a
        namespace: it may take minutes, and until then nothing was missed. `went_back` is called before WentBack is
        raised: what was created since the backup is missing, and nobody has deleted it."""
        self._api = api
        self._caches = caches
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._known = known
        self._classes_listed = classes_listed
        self._has_listed = has_listed
        self._went_back = went_back
        self._behind: set[str] = set()
        self._seen: set[str] = set()
        """Namespaces with resources, and those that are watched by name: none of them lacks a figure."""
        self._unlisted: set[str] = set()
        """Of which nothing is known, since they could not be listed."""
        self._taken = False
        self._interval = INTERVAL_SECONDS
        self._newest = 0
        self.problem: str | None = None

    async def run(self) -> None:
        """Take stock until cancelled. The first time waits for Temporal's side and for the watches' first lists, for an
        interval at most. Raises WentBack."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._known.wait()
                    await asyncio.sleep(self._interval if self._taken else 0)
                    while not self._all_listed():  # noqa: ASYNC110 - other threads list; both at once take longer
                        await asyncio.sleep(1)
            started = time.thread_time()
            try:
                await self.take()
            except WentBack:
                self._went_back()
                raise
            except (TryLater, NotFound) as failed:
                logger.warning("inventory not taken", extra={"error": str(failed)})
            self._interval = interval(time.thread_time() - started)

    def _all_listed(self) -> bool:
        return all(self._has_listed(cache.plural, name or "") for cache in self._caches for name in self._namespaces)

    async def take(self) -> None:
        """One comparison. What was behind in the last one too is fetched now."""
        self._taken = True
        self._seen = {name for name in self._namespaces if name is not None}
        self._unlisted = set()
        await self._look_at_classes()
        behind = []
        for cache in self._caches:
            for item in await self._compare(cache):
                if item.known_version:
                    await self._look_whether_it_went_back(cache, item)
                else:
                    behind.append((cache, item))
        missed = [(cache, item) for cache, item in behind if item.uid in self._behind]
        self._behind = {item.uid for _, item in behind}
        self.problem = "the watch misses changes" if missed else None
        counts = Counter(item.namespace for _, item in missed)
        self._tell(counts)
        for cache, item in missed:
            logger.warning("the watch missed one of the %s: %s/%s", cache.plural, item.namespace, item.name)
            try:
                cache.put(await self._api.get(cache.plural, item.namespace, item.name))
            except NotFound:
                continue

    def _tell(self, missed: Mapping[str, int]) -> None:
        """By namespace. Of one that could not be listed nobody knows how much was missed: it has no figure of that."""
        metrics.UNOBSERVED.clear()
        for name in (self._seen | set(missed)) - self._unlisted:
            metrics.UNOBSERVED.labels(order_namespace=name).set(missed.get(name, 0))
        for name in {EVERYWHERE, *(name or EVERYWHERE for name in self._namespaces)}:
            metrics.UNLISTED.labels(order_namespace=name).set(name in self._unlisted)

    async def _look_at_classes(self) -> None:
        try:
            bodies, version = await self._api.list_order_classes()
        except (TryLater, NotFound) as failed:
            self._unlisted.add(EVERYWHERE)
            logger.warning("classes not listed", extra={"error": str(failed)})
        else:
            self._classes_listed(bodies, version)

    async def _compare(self, cache: Cache) -> list[Listed]:
        listed: dict[str, Listed] = {}
        versions: list[int] = []
        covered: set[str | None] = set()
        for namespace in self._namespaces:
            try:
                part, version = await self._api.list_metadata(cache.plural, namespace)
            except (TryLater, NotFound) as failed:
                # Nothing is known of this namespace then, and the others do not wait for it.
                self._unlisted.add(namespace or EVERYWHERE)
                logger.warning("namespace not listed", extra={"namespace": namespace, "error": str(failed)})
                continue
            covered.add(namespace)
            listed |= part
            versions.append(version)
        if not versions:
            return []
        self._look_for_a_restored_server(versions)
        self._seen |= {item.namespace for item in listed.values()}
        behind = cache.compare(listed, min(versions), lambda name: None in covered or name in covered)
        return [item for item in behind if self._has_listed(cache.plural, item.namespace)]

    async def _look_whether_it_went_back(self, cache: Cache, item: Listed) -> None:
        """A list may come of a cache that is late with one object; a question for the object itself does not."""
        try:
            body = await self._api.get(cache.plural, item.namespace, item.name)
        except (TryLater, NotFound):
            return
        version = int(body["metadata"]["resourceVersion"])
        if body["metadata"]["uid"] == item.uid and version < item.known_version:
            what = f"{cache.plural} {item.namespace}/{item.name}"
            raise WentBack(f"resourceVersion {version} of {what} after {item.known_version}: starting anew")

    def _look_for_a_restored_server(self, versions: Sequence[int]) -> None:
        if min(versions) < self._newest:
            raise WentBack(f"resourceVersion {min(versions)} after {self._newest}: starting anew")
        self._newest = max(self._newest, *versions)
