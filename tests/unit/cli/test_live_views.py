"""Views that change, on a terminal of the test's own and without one."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from recorded_cluster import NOW, ORDERS, FakeCluster

from order_cli.commands.board import board
from order_cli.commands.watching import is_shown
from order_cli.flags import Flags
from order_cli.order import Order
from order_cli.session import Session

PATIENCE_SECONDS = 30.0


class OnATerminal:
    """`kubectl order` whose input and output is a terminal."""

    def __init__(self, cluster: FakeCluster, *arguments: str, columns: int = 100) -> None:
        cluster.write()
        own, other = pty.openpty()
        self.own = own
        self.seen = ""
        environment = {**os.environ, **cluster.environment(), "TERM": "xterm", "COLUMNS": str(columns), "LINES": "40"}
        environment.pop("NO_COLOR")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "order_cli", *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(other)

    def until(self, holds: Callable[[str], bool]) -> str:
        """What it has written, once that holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(self.seen):
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += os.read(self.own, 65536).decode(errors="replace")
            except OSError:  # it has ended
                assert holds(self.seen), self.seen
        return self.seen

    def type(self, text: str) -> None:
        """As a person."""
        os.write(self.own, text.encode())

    def end(self) -> int:
        """Its exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        os.close(self.own)
        return code


def moved(order: dict[str, object], **status: object) -> dict[str, object]:
    return {**order, "status": {**order["status"], **status}}  # type: ignore[dict-item]


def test_an_order_is_followed_to_its_end_on_a_terminal(fake: FakeCluster) -> None:
    order = fake.orders["o-4eyes"]
    fake.shows("o-4eyes", order, moved(order, phase="Completed", orderStatus="Order Completed", message="all done"))

    view = OnATerminal(fake, "track", "o-4eyes", "-w")

    view.until(lambda seen: "all done" in seen)
    assert view.end() == 0


def test_ctrl_c_ends_a_live_view_without_a_traceback(fake: FakeCluster) -> None:
    fake.shows("o-4eyes", fake.orders["o-4eyes"])
    view = OnATerminal(fake, "track", "o-4eyes", "-w")
    view.until(lambda seen: "Await Approval" in seen)

    view.process.send_signal(signal.SIGINT)

    assert view.end() == 130
    assert "Traceback" not in view.seen


def test_a_person_is_asked_at_a_terminal(fake: FakeCluster) -> None:
    fake.takes("o-4eyes", orderStatus="Charge Customer", phase="Running")
    view = OnATerminal(fake, "approve", "o-4eyes", "-n", "shop")
    view.until(lambda seen: "Approve as bob@example.com? [y/N]" in seen)

    view.type("y\n")

    view.until(lambda seen: "now Charge Customer" in seen)
    assert view.end() == 0


def test_without_a_terminal_each_change_is_a_line(fake: FakeCluster) -> None:
    order = fake.orders["o-4eyes"]
    fake.shows("o-4eyes", order, moved(order, phase="Completed", orderStatus="Order Completed", message="all done"))

    done = subprocess.run(
        [sys.executable, "-m", "order_cli", "track", "o-4eyes", "-w"],
        env={**os.environ, **fake.environment()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "  all done" in done.stdout.splitlines()


@pytest.mark.parametrize(("seconds", "shown"), [(5, True), (29, True), (31, False)])
def test_an_order_that_has_ended_fades_after_half_a_minute(fake: FakeCluster, seconds: int, shown: bool) -> None:
    ended = Order(fake.orders["o-1043"])
    assert ended.ended is not None

    assert is_shown(ended, ended.ended, ended.ended + timedelta(seconds=seconds)) is shown


def test_an_order_that_had_ended_long_before_is_not_shown(fake: FakeCluster) -> None:
    assert not is_shown(Order(fake.orders["o-1043"]), NOW, NOW)


def test_a_board_counts_orders_and_names_the_oldest(fake: FakeCluster) -> None:
    orders = {order.key: order for order in map(Order, fake.orders.values())}

    first, *rest = board(Session.of(Flags()), orders, NOW)

    assert first.startswith("orders 12   running 3   waiting 3 (oldest 1m14s)   undoing 0   stuck 1")
    assert [line.split("  ")[0] for line in rest[1:]] == [
        "Order Received",
        "Await Approval",
        "Charge Customer",
        "not yet started",
    ]


REFUSED = "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?"


def events(*orders: dict[str, object]) -> str:
    return "\n".join(json.dumps({"type": "ADDED", "object": each}) for each in orders)


def test_a_board_is_sorted_narrowed_and_left_by_keys(fake: FakeCluster) -> None:
    fake.answer(f"^get {ORDERS} .*--watch", out=events(*fake.orders.values()))
    view = OnATerminal(fake, "top", "-A")
    view.until(lambda seen: "orders 12" in seen and "q leave · s sort: status" in seen)

    view.type("s")
    view.until(lambda seen: "s sort: number" in seen)
    view.type("f")
    view.until(lambda seen: "f show: waiting" in seen)
    view.type("\x1b")
    view.type("/o-4q\x7f")
    view.until(lambda seen: "/ text: o-4_ (Enter, Esc)" in seen)
    view.type("\n")
    view.until(lambda seen: "orders 1 " in seen.rsplit("q leave", 2)[-2])
    view.type("q")

    assert view.end() == 0


def test_a_terminal_is_given_back_as_it_was(fake: FakeCluster) -> None:
    """Else a shell shows nothing of what is typed."""
    fake.answer(f"^get {ORDERS} .*--watch", out=events(*fake.orders.values()))
    view = OnATerminal(fake, "top", "-A")
    before = termios.tcgetattr(view.own)
    view.until(lambda seen: "q leave" in seen)
    assert termios.tcgetattr(view.own)[3] & termios.ICANON == 0

    view.process.send_signal(signal.SIGINT)
    view.process.wait(PATIENCE_SECONDS)

    assert termios.tcgetattr(view.own)[3] == before[3]
    assert view.end() == 130


@pytest.mark.parametrize(
    "complaint", [REFUSED, 'error: the server doesn\'t have a resource type "orders"'], ids=["away", "starts"]
)
def test_while_the_api_server_is_away_a_view_keeps_what_it_showed_and_says_so(
    fake: FakeCluster, complaint: str
) -> None:
    """It was empty, and ended after five seconds; at once while the API server started, which knows no kinds then."""
    first, second = fake.orders["o-4eyes"], fake.orders["o-held"]
    fake.answer(f"^get {ORDERS} ", error=complaint)
    fake.answers.insert(0, {"call": f"^get {ORDERS} .*--watch", "out": events(first), "error": complaint})
    view = OnATerminal(fake, "watch", "-A")
    view.until(lambda seen: "o-4eyes" in seen.rpartition("what is shown may be old")[2])

    fake.answers.clear()
    fake.answer(f"^get {ORDERS} .*--output=json", out={"kind": "List", "items": [second]})
    fake.answer(f"^get {ORDERS} .*--watch", out=events(second))
    view.until(lambda seen: "o-held" in seen and "what is shown may be old" not in seen[-600:])

    view.process.send_signal(signal.SIGINT)
    assert view.end() == 130


@pytest.mark.parametrize(("columns", "heads"), [(100, 7), (80, 6), (72, 5), (60, 4)])
def test_on_a_narrow_terminal_no_order_takes_two_lines(fake: FakeCluster, columns: int, heads: int) -> None:
    """With the columns that there is room for, and always with what the order waits for."""
    view = OnATerminal(fake, "list", "-A", "--no-color", columns=columns)
    view.until(lambda seen: "12 orders" in seen)

    head, *rows = [line for line in view.seen.splitlines() if line][:13]

    assert head.split()[-1] == "NEXT"
    assert len(head.split()) == heads
    assert [line for line in rows if len(line) > columns] == []
    assert view.end() == 0
