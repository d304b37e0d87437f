"""The processes of a node, started and reaped by the first process of its pid namespace."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from order_devstack.errors import StartFailed

_POLL_SECONDS = 0.05
_STOP_SECONDS = 3.0
"""An API server waits for clients that still watch; nothing is lost when it does not."""
_LINES_OF_LOG_SHOWN = 15


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process of the node."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Parts:
    """What this process has started. It is the parent of every orphan of the namespace, too, such as the shims of pods:
    what it does not reap stays as a zombie."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._staying: dict[str, subprocess.Popen[bytes]] = {}
        self._passing: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()  # a new process must be known before anybody reaps

    def start(self, part: Part) -> None:
        """Start a process that stays."""
        with self._lock:
            self._staying[part.name] = self._popen(part)

    def run(self, part: Part) -> None:
        """Run a process to its end. Raises StartFailed with the end of its log."""
        with self._lock:
            process = self._popen(part)
            self._passing.append(process)
        returncode = process.wait()
        with self._lock:
            self._passing.remove(process)
        if returncode != 0:
            raise StartFailed(f"{part.name} failed ({returncode}); its log ends with:\n{self._log_end(part.name)}")

    def reap(self) -> None:
        """Take note of every process that has ended. Raises StartFailed if one that should stay is among them."""
        with self._lock:
            known = {process.pid: process for process in (*self._staying.values(), *self._passing)}
            while (ended := _next_ended()) is not None:
                if ended in known:
                    known[ended].poll()
                else:
                    os.waitpid(ended, 0)
        for name, process in self._staying.items():
            if process.returncode is not None:
                raise StartFailed(f"{name} ended ({process.returncode}); its log ends with:\n{self._log_end(name)}")

    def until(self, holds: Callable[[], bool], what: str, within_seconds: float) -> None:
        """Reap until `holds`. Raises StartFailed if that takes too long, or a part ends."""
        deadline = time.monotonic() + within_seconds
        while not holds():
            self.reap()
            if time.monotonic() > deadline:
                raise StartFailed(f"{what}: not within {within_seconds:.0f} s")
            time.sleep(_POLL_SECONDS)

    def stop(self, names: Sequence[str]) -> None:
        """End these one after the other, those that run."""
        for name in names:
            process = self._staying.get(name)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _popen(self, part: Part) -> "subprocess.Popen[bytes]":
        with (self._log / f"{part.name}.log").open("ab") as log:
            return subprocess.Popen(
                list(part.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **part.environment},
                cwd="/",  # PostgreSQL's user may not enter the folder that this process was started in
            )

    def _log_end(self, name: str) -> str:
        lines = (self._log / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LINES_OF_LOG_SHOWN:])


def _next_ended() -> int | None:
    # It stays for whoever reaps it: waiting for "any child" would take the result away from Popen.
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None
