import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from order_devstack.errors import StartFailed
from order_devstack.processes import DetachedProcess, Service, State, kill_all_below

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[DetachedProcess]:
    process = DetachedProcess(tmp_path, "server")
    yield process
    process.stop(within_seconds=0.2)


def a_service(command: Sequence[str] = SLEEP, *, ready: bool = True) -> Service:
    return Service(command=command, environment=dict(os.environ), ports=[], answers=lambda: ready)


def test_a_started_process_is_running(process: DetachedProcess) -> None:
    process.spawn(a_service())

    assert process.state() is State.RUNNING
    assert psutil.pid_exists(process.pid() or 0)


def test_the_pid_file_holds_the_pid_and_nothing_else(process: DetachedProcess) -> None:
    process.spawn(a_service())

    assert process.pid_file.read_text() == f"{process.pid()}\n"


def test_a_process_of_a_checkout_with_other_pid_files_is_replaced(process: DetachedProcess) -> None:
    process.spawn(a_service())
    earlier = process.pid()
    assert earlier is not None
    process.pid_file.write_text(f'{{"pid": {earlier}, "started": 1.0}}')

    process.spawn(a_service())

    assert not psutil.pid_exists(earlier)
    assert process.state() is State.RUNNING


def test_a_started_process_has_a_session_of_its_own(process: DetachedProcess) -> None:
    process.spawn(a_service())

    pid = process.pid()
    assert pid is not None
    assert os.getsid(pid) == pid


def test_a_killed_process_has_died(process: DetachedProcess) -> None:
    process.spawn(a_service())
    process.signal(signal.SIGKILL)

    assert process.wait_until_gone(within_seconds=5)
    assert process.state() is State.DIED


def test_a_process_whose_parent_does_not_reap_it_counts_as_stopped(tmp_path: Path) -> None:
    spawn = (
        "import sys, time; from order_devstack.processes import DetachedProcess, Service; "
        "from pathlib import Path; process = DetachedProcess(Path(sys.argv[1]), 'server'); "
        "command = [sys.executable, '-c', 'import time; time.sleep(600)']; "
        "process.spawn(Service(command=command, environment={}, ports=[], answers=lambda: True)); "
        "print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", spawn, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        process = DetachedProcess(tmp_path, "server")
        try:
            assert process.stop(within_seconds=20)
            assert process.state() is State.STOPPED
        finally:
            parent.kill()


def test_a_stopped_process_leaves_no_pid_file(process: DetachedProcess) -> None:
    process.spawn(a_service())

    assert process.stop(within_seconds=5)
    assert process.state() is State.STOPPED
    assert not process.pid_file.exists()


def test_a_process_deaf_to_sigterm_is_killed(process: DetachedProcess) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    service = Service(
        command=[sys.executable, "-c", deaf],
        environment=dict(os.environ),
        ports=[],
        answers=lambda: "deaf" in process.log.read_text(),
    )
    process.spawn(service)
    process.wait_until_answering(service, within_seconds=10)

    process.stop(within_seconds=0.2)

    assert process.pid() is None


def test_a_reused_pid_is_never_signalled(process: DetachedProcess) -> None:
    somebody = subprocess.Popen(SLEEP)
    try:
        process.pid_file.parent.mkdir()
        process.pid_file.write_text(f"{somebody.pid}\n")
        os.utime(process.pid_file, (time.time() - 3600,) * 2)

        process.signal(signal.SIGKILL)
        process.stop(within_seconds=1)

        assert somebody.poll() is None
        assert not process.pid_file.exists()
    finally:
        somebody.kill()
        somebody.wait()


def test_the_pid_of_a_process_that_is_gone_counts_as_died(process: DetachedProcess) -> None:
    process.pid_file.parent.mkdir()
    process.pid_file.write_text(f"{2**22 + 1}\n")

    assert process.state() is State.DIED


def test_a_process_without_pid_file_is_stopped_before_another_is_started(process: DetachedProcess) -> None:
    process.spawn(a_service())
    unrecorded = process.pid()
    assert unrecorded is not None
    process.pid_file.unlink()

    process.spawn(a_service())

    assert not psutil.pid_exists(unrecorded)


class JustStarted(psutil.Process):
    """A process whose program the kernel is still loading at the first look."""

    looked_at = False

    def environ(self) -> dict[str, str]:
        return super().environ() if self.looked_at else {}

    def cmdline(self) -> list[str]:
        if self.looked_at:
            return super().cmdline()
        self.looked_at = True
        return []


def test_a_process_whose_program_is_still_being_loaded_is_stopped_too(
    process: DetachedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.spawn(a_service())
    unrecorded = process.pid()
    assert unrecorded is not None
    process.pid_file.unlink()
    monkeypatch.setattr(psutil, "process_iter", lambda: [JustStarted(unrecorded)])

    process.spawn(a_service())

    assert not psutil.pid_exists(unrecorded)


def test_two_directories_do_not_know_each_others_processes(process: DetachedProcess, tmp_path: Path) -> None:
    process.spawn(a_service())

    assert not DetachedProcess(tmp_path / "other", "server").stop(within_seconds=1)
    assert process.pid() is not None


def test_what_a_killed_command_left_behind_in_a_folder_can_be_ended(tmp_path: Path) -> None:
    left, elsewhere = DetachedProcess(tmp_path / "a" / "stack", "left"), DetachedProcess(tmp_path / "ab", "elsewhere")
    try:
        left.spawn(a_service())
        elsewhere.spawn(a_service())

        assert kill_all_below(tmp_path / "a") == ["left"]

        assert left.wait_until_gone(within_seconds=5)
        assert elsewhere.pid() is not None
    finally:
        left.stop(within_seconds=1)
        elsewhere.stop(within_seconds=1)


def test_a_process_that_ends_while_starting_shows_its_log(process: DetachedProcess) -> None:
    service = a_service([sys.executable, "-c", "raise SystemExit('no database')"], ready=False)
    process.spawn(service)

    with pytest.raises(StartFailed, match=r"ended while it started(.|\n)*no database"):
        process.wait_until_answering(service, within_seconds=10)


def test_a_process_that_never_answers_fails_after_its_time(process: DetachedProcess) -> None:
    service = a_service(ready=False)
    process.spawn(service)

    with pytest.raises(StartFailed, match="did not answer within 0 s"):
        process.wait_until_answering(service, within_seconds=0.1)


def test_a_missing_program_is_an_error_of_the_system(process: DetachedProcess) -> None:
    with pytest.raises(FileNotFoundError):
        process.spawn(a_service(["/nonexistent/server"]))

    assert process.state() is State.STOPPED
