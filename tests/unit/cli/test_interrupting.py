"""Ctrl-C in the middle of something."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from recorded_cluster import FakeCluster

from order_cli import writing

PATIENCE_SECONDS = 25.0
"""Less than an order's answer is waited for."""
SOON = 10
"""Fewer are written by then, five a second; so many had a thread, and were all written when they went on."""


def begun(fake: FakeCluster, *arguments: str) -> subprocess.Popen[str]:
    """`kubectl order`, whose writes nobody answers."""
    return subprocess.Popen(
        [sys.executable, "-m", "order_cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **fake.environment()},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def held(fake: FakeCluster, number: int) -> list[str]:
    """Names of orders that are held, and stay so."""
    names = [f"held-{each}" for each in range(number)]
    for name in names:
        fake.orders[name] = {**fake.orders["o-held"], "metadata": metadata(name)}
        patched = {**fake.orders[name], "metadata": {**fake.orders[name]["metadata"], "generation": 2}}
        fake.answer(f"^patch .* {name} ", out=patched)
    fake.write()
    return names


def interrupted(fake: FakeCluster, process: subprocess.Popen[str]) -> str:
    """What it says when somebody presses Ctrl-C after the first order was written."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fake.calls("patch"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    return said


def test_no_order_is_written_after_ctrl_c(fake: FakeCluster) -> None:
    """Up to nine more were: they had a thread, and waited for their turn. The command then stayed for half a minute."""
    names = held(fake, 12)

    said = interrupted(fake, begun(fake, "resume", *names, "-n", "shop"))

    written = len(fake.patches())
    assert written < SOON, said
    assert f"of 12 orders 0 have answered, {written} were sent or on their way, {12 - written} were not sent" in said


def test_ctrl_c_while_one_order_answers_says_that_it_was_written(fake: FakeCluster) -> None:
    (name,) = held(fake, 1)

    said = interrupted(fake, begun(fake, "resume", name, "-n", "shop"))

    assert "interrupted: it was sent or on its way, and its answer was not waited for" in said


def metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "shop", "generation": 1, "uid": f"uid-of-{name}"}


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Processes of pytest-xdist ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_just_before_the_wait_for_an_answer_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a signal wakes nobody: on a busy machine the command stayed until the first order had answered."""
    given_up, heard = threading.Event(), []
    monkeypatch.setattr(writing, "_carried_out", lambda *_: heard.append(given_up.wait(PATIENCE_SECONDS)))
    session: Any = SimpleNamespace(kubectl=SimpleNamespace(given_up=given_up))
    step: Any = SimpleNamespace()
    threading.Timer(0.1, _thread.interrupt_main).start()  # the signal alone, without what wakes a thread that waits

    with pytest.raises(KeyboardInterrupt):
        list(writing._outcomes(session, [step], 1.0, writing._Progress(1)))

    assert given_up.is_set()
    assert heard in ([], [True])
