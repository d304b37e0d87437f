"""All that an operator of one cluster watches, with shorter bounds, in a process of its own: kopf ends slowly.

Writes a line ten times a second: how often the least answered watch was answered, and which is deaf, if one is.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from order_operator import handlers, watch_liveness
from order_operator.watch_liveness import WatchLiveness
from order_operator.watching import watches_of

RECONNECT_SECONDS = 1
SILENT_SECONDS = 6.0
PATHS = 3


class Liveness(WatchLiveness):
    """Counts the answers."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: Counter[str] = Counter()

    def answered(self, path: str, *, watch: bool) -> None:
        super().answered(path, watch=watch)
        if "/order-platform.dev/v1alpha1/" in path:
            self._answers[path] += 1

    @property
    def answers(self) -> int:
        """Of the watch that has the fewest."""
        return min(self._answers.values()) if len(self._answers) == PATHS else 0


class Nobody:
    """Takes in what there is, and does nothing with it."""

    def put(self, body: Mapping[str, Any]) -> None:
        """One version of an object."""

    def remove(self, body: Mapping[str, Any]) -> None:
        """The last version of an object that is gone."""


def main() -> None:
    """Until killed."""
    handlers.RECONNECT_SECONDS = RECONNECT_SECONDS  # type: ignore[attr-defined]
    watch_liveness.SILENT_SECONDS = SILENT_SECONDS
    liveness, nobody = Liveness(), Nobody()
    for watch in watches_of(
        [], orders=nobody, stock=nobody, classes=nobody, deliver=lambda take, body: take(body), liveness=liveness
    ):
        watch.start()
    while True:
        sys.stdout.write(f"{liveness.answers} {liveness.problem() or ''}\n")
        sys.stdout.flush()
        time.sleep(0.1)


if __name__ == "__main__":
    main()
