"""Keys that somebody presses while a view is shown."""

import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_READ = 64


class Keys:
    """Of a terminal; elsewhere nobody presses any. Used in a `with`, it gives the terminal back as it was."""

    def __init__(self, news: Callable[[], None] | None) -> None:
        """`news` is called, by another thread, when there are some; None: no key is looked at."""
        self._news = news
        self._before: list[Any] | None = None
        self._pressed: deque[str] = deque()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Keys":
        try:
            import termios  # noqa: PLC0415 - Windows has none
            import tty  # noqa: PLC0415
        except ImportError:
            return self
        if self._news is None or not sys.stdin.isatty():
            return self
        self._terminal = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal)  # each key at once, and none shown; Ctrl-C stays what it is
        self._stop, self._stopping = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(self._news,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is None or self._thread is None:
            return
        import termios  # noqa: PLC0415 - as above

        os.close(self._stopping)
        self._thread.join()
        os.close(self._stop)
        termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def taken(self) -> list[str]:
        """Those that were pressed since this was asked last."""
        return [self._pressed.popleft() for _ in range(len(self._pressed))]

    def _read(self, news: Callable[[], None]) -> None:
        while True:
            ready, _, _ = select.select([self._terminal, self._stop], [], [])
            if self._stop in ready:
                return
            try:
                keys = os.read(self._terminal, _READ)
            except OSError:  # the terminal is gone
                return
            if not keys:
                return
            self._pressed.extend(keys.decode(errors="ignore"))
            news()
