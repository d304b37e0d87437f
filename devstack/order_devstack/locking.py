"""One command at a time: an advisory lock that the kernel drops when its holder dies."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(file: Path, *, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on `file`; `on_wait` is called once if somebody else holds it. Waits without limit."""
    descriptor = _acquire(file, on_wait)
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(file: Path, on_wait: Callable[[], None]) -> int:
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The holder before us may have deleted the file: a lock on a nameless file excludes nobody.
            if file.exists() and file.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
