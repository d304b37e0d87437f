"""Processes that outlive the command that starts them, each known by its pid file."""

import enum
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from order_devstack.errors import StartFailed
from order_devstack.ports import is_free

# A pid alone may belong to somebody else by now: to a process that is younger than the file. The start time that the
# kernel reports moves a little when the wall clock is set, and no pid comes round again within seconds.
_START_TIME_TOLERANCE_SECONDS = 2.0
# Set for every process, so that one whose starter was killed before it could write the pid file is still found.
_MARK = "ORDER_DEVSTACK_PROCESS"
_POLL_SECONDS = 0.05
_LOADING_POLL_SECONDS = 0.001
_LOADING_SECONDS = 5.0
"""Until the kernel has loaded the program of a new process; it takes less than a millisecond on an idle machine."""
_KILL_SECONDS = 10.0
"""Until the kernel has taken down all threads of a process, which may be writing."""
_LINES_OF_LOG_SHOWN = 15


@dataclass(frozen=True, kw_only=True)
class Service:
    """How a process is started and recognised as serving."""

    command: Sequence[str]
    environment: Mapping[str, str]
    """The whole environment of the process."""
    ports: Sequence[int]
    """Ports it listens on."""
    answers: Callable[[], bool]
    """Whether it serves requests now."""
    prepare: Callable[[], object] = lambda: None
    """Done before each start; idempotent."""
    start_seconds: float = 60.0
    """How long it may take until it answers. Servers need 1 to 5 s; the rest is for a busy machine."""


class State(enum.Enum):
    """What the pid file and the process table say together."""

    RUNNING = "running"
    STOPPED = "stopped"
    DIED = "died"


class DetachedProcess:
    """The process `name` of the stack in `root`: `run/<name>.pid` and `log/<name>.log`."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.pid_file = root / "run" / f"{name}.pid"
        self.log = root / "log" / f"{name}.log"
        self._mark = f"{root}:{name}"

    def state(self) -> State:
        """Running, stopped on request, or died without one."""
        if self.pid() is not None:
            return State.RUNNING
        return State.DIED if self.pid_file.exists() else State.STOPPED

    def pid(self) -> int | None:
        """Pid of the living process, None if there is none."""
        process = self._process()
        return process.pid if process else None

    def spawn(self, service: Service) -> None:
        """Start it in a session of its own and write the pid file; does not wait until it answers.

        Raises StartFailed if one of its ports is taken.
        """
        self._stop_unrecorded()
        for port in service.ports:
            if not is_free(port):
                raise StartFailed(
                    f"port {port} of {self.name} is taken by another program; "
                    "stop the whole stack and start it again, then it moves to other ports."
                )
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # Not subprocess.Popen: it warns when its object goes while the process stays, which is what is wanted here.
        pid = os.posix_spawnp(
            service.command[0],
            list(service.command),
            {**service.environment, _MARK: self._mark},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGHUP],  # Python and nohup ignore some of them
        )
        unfinished = self.pid_file.with_suffix(".unfinished")
        unfinished.write_text(f"{pid}\n")
        unfinished.replace(self.pid_file)

    def wait_until_answering(self, service: Service, within_seconds: float) -> None:
        """Raises StartFailed with the end of the log if it ends, or does not answer in time."""
        deadline = time.monotonic() + within_seconds
        while not service.answers():
            if self.pid() is None:
                raise StartFailed(f"{self.name} ended while it started; {self.log} ends with:\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{self.name} did not answer within {within_seconds:.0f} s; {self.log} ends with:\n{self.log_end()}"
                )
            time.sleep(_POLL_SECONDS)

    def signal(self, number: int) -> None:
        """Send a signal to it; nothing happens if it does not run."""
        process = self._process()
        if process:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def wait_until_gone(self, within_seconds: float) -> bool:
        """Whether it was gone in time."""
        deadline = time.monotonic() + within_seconds
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def stop(self, within_seconds: float) -> bool:
        """SIGTERM, after `within_seconds` SIGKILL; forgets the pid file. Whether it ran. Idempotent."""
        process = self._process()
        if process:
            _terminate(process, within_seconds)
        unrecorded = self._stop_unrecorded()
        self.pid_file.unlink(missing_ok=True)
        return process is not None or unrecorded

    def log_end(self) -> str:
        """The last lines of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(lines[-_LINES_OF_LOG_SHOWN:])

    def _process(self) -> psutil.Process | None:
        try:
            recorded_at = self.pid_file.stat().st_mtime
            process = psutil.Process(int(self.pid_file.read_text()))
            same = process.create_time() < recorded_at + _START_TIME_TOLERANCE_SECONDS
        except (FileNotFoundError, psutil.NoSuchProcess, ValueError):  # the last: of a checkout that wrote more into it
            return None
        return process if same and not _is_dead(process) else None

    def _stop_unrecorded(self) -> bool:
        stopped = False
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # other users' processes do not show their environment
                if _mark_of(process) == self._mark and not _is_dead(process):
                    _terminate(process, within_seconds=5.0)
                    stopped = True
        return stopped


def kill_all_below(folder: Path) -> list[str]:
    """End every process of a stack whose state lies somewhere in `folder`, without a warning: for what a command that
    was itself killed has left behind. Returns their names."""
    killed = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            root, _, name = _mark_of(process).rpartition(":")
            if root and Path(root).is_relative_to(folder) and not _is_dead(process):
                process.kill()
                killed.append(name)
    return killed


def _mark_of(process: psutil.Process) -> str:
    """What `spawn` marked it with; empty if it did not. Raises psutil.Error for a process that may not be looked at.

    A process that was started a moment ago has neither arguments nor environment until the kernel has loaded its
    program. It may be one of ours, so that is waited for.
    """
    deadline = time.monotonic() + _LOADING_SECONDS
    while not (environment := process.environ()):
        if _is_loaded(process):
            environment = process.environ()
            break
        if time.monotonic() > deadline:
            break
        time.sleep(_LOADING_POLL_SECONDS)
    return environment.get(_MARK, "")


def _is_loaded(process: psutil.Process) -> bool:
    """A thread of the kernel never has a program, and the dead have none any more."""
    return bool(process.cmdline()) or not process.exe() or process.status() == psutil.STATUS_ZOMBIE


def _is_dead(process: psutil.Process) -> bool:
    # A killed process is a zombie as soon as its first thread is gone; the others still hold its ports and files.
    with suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1:
            return False
    with suppress(ChildProcessError):  # only a child of ours can, and must, be reaped here
        os.waitpid(process.pid, os.WNOHANG)
    return True


def _terminate(process: psutil.Process, within_seconds: float) -> None:
    for stop, seconds in ((process.terminate, within_seconds), (process.kill, _KILL_SECONDS)):
        with suppress(psutil.NoSuchProcess):
            stop()
        if _dies(process, seconds):
            return


def _dies(process: psutil.Process, within_seconds: float) -> bool:
    # Not psutil's own wait: to it, a zombie whose parent is somebody else lives on.
    deadline = time.monotonic() + within_seconds
    while not _is_dead(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
