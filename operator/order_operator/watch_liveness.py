"""Whether the API server still answers the watches (docs/decisions/0022-a-watch-asks-anew-every-minute.md).

A watch that hears nothing looks like a quiet cluster. So each one is ended by the API server after a minute and asks
anew: one whose request was answered within 90 s can hear. What is wrong with an answer does not matter here: of a
refusal, of rights that are missing say, a restart is no cure.
"""

import time
from collections.abc import Callable

from order_operator.cluster.api_names import GROUP, VERSION

RECONNECT_SECONDS = 60
"""How long the API server keeps one request of a watch open."""
SILENT_SECONDS = 90.0
"""A watch that was not answered for so long is deaf."""


def watched_path(plural: str, namespace: str) -> str:
    """Where the objects of a kind are listed and watched, of one namespace, or of all if it is empty."""
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}/{where}{plural}"


class WatchLiveness:
    """When each watch was answered last. Written by the watches' threads, read by the operator's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: dict[str, float] = {}
        self._listed: set[str] = set()

    def expect(self, path: str) -> None:
        """A watch of this path begins."""
        self._answered[path] = self._clock()

    def answered(self, path: str, *, watch: bool) -> None:
        """The API server answered a request for `path`, which may have the server's own path in front. One for changes
        follows the whole list."""
        for watched in self._answered:
            if path.endswith(watched):
                self._answered[watched] = self._clock()
                if watch:
                    self._listed.add(watched)

    def has_listed(self, plural: str, namespace: str) -> bool:
        """Whether the watch has been through its first list, so that it should know every object in `namespace`."""
        return not self._listed.isdisjoint((watched_path(plural, namespace), watched_path(plural, "")))

    def ages(self) -> dict[str, float]:
        """Seconds since each watch was answered, by its path below that of the API's version."""
        now = self._clock()
        start = len(watched_path("", ""))
        return {path[start:]: now - answered for path, answered in list(self._answered.items())}

    def problem(self) -> str | None:
        """Which watch is deaf, None if none is."""
        for path, answered in self._answered.items():
            silent = self._clock() - answered
            if silent > SILENT_SECONDS:
                return f"the watch of {path} has not been answered for {silent:.0f} s"
        return None
