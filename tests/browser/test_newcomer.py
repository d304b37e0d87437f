"""Somebody who has never seen it goes from nothing to an order that is approved and shipped: in the page, and in the
terminal. What is measured is what they wait for: the servers' start, with their programs there, and the order's way."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from order_devstack import environment
from order_devstack.stack import Stack

pytestmark = pytest.mark.browser

MINUTE = 60.0
PATIENCE_SECONDS = 600.0
"""For a machine on which many others work."""


def a_minute() -> float:
    """A minute of this machine: as much longer as there are processes that wait for each of its cores."""
    return MINUTE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.fixture(scope="module")
def begun() -> float:
    """When `make up` was typed."""
    return time.monotonic()


@pytest.fixture(scope="module")
def up(begun: float, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, float]]:
    """What `make up` starts, and after how many seconds it was there."""
    stack = Stack(tmp_path_factory.mktemp("newcomer"), ui=False)
    try:
        stack.up()
        yield stack, time.monotonic() - begun
    finally:
        stack.clean()


def variables(stack: Stack) -> dict[str, str]:
    """Of a terminal in which `.devstack/env` was read."""
    folders = [str(stack.root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    told = {"PATH": os.pathsep.join(folders), "KUBECONFIG": str(stack.kubeconfig), "PYTHONUNBUFFERED": "1"}
    return {**environment.for_processes(stack.root), **told}


@pytest.fixture
def link(up: tuple[Stack, float]) -> Iterator[str]:
    """What `kubectl order ui` prints."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen(
        ["kubectl", "order", "ui", "--port", str(port)],  # noqa: S607 - the stack's, by PATH
        env=variables(up[0]),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield re.sub("^open ", "", process.stdout.readline().strip())
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_in_the_page_within_a_minute(up: tuple[Stack, float], link: str, chromium: Browser) -> None:
    _, start = up
    began = time.monotonic()
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    page.goto(link)
    page.get_by_role("link", name="To the orders").click()
    page.get_by_role("link", name="New order").click()
    page.get_by_label("Begin with a scenario").select_option("above-threshold")
    page.get_by_role("button", name="Fill in").click()
    page.get_by_label("Namespace").fill("default")
    page.get_by_role("button", name="Order", exact=True).click()
    tracker = page.locator("#tracker")
    expect(tracker).to_contain_text("Await Approval", timeout=PATIENCE_SECONDS * 1000)
    page.get_by_label("Reason").first.fill("my first")
    page.get_by_role("button", name="Approve").click()

    expect(tracker).to_contain_text("Order Completed", timeout=PATIENCE_SECONDS * 1000)
    took = start + time.monotonic() - began

    expect(tracker).to_contain_text("Parcels")
    expect(tracker).to_contain_text("The last change was taken.")
    page.close()
    assert took <= a_minute(), f"the start {start:.0f} s, all {took:.0f} s"


def test_in_the_terminal_within_a_minute(up: tuple[Stack, float]) -> None:
    stack, start = up
    began = time.monotonic()
    address = ["--recipient", "Ana Torres", "--line1", "1 Main Street", "--city", "Springfield", "--country", "US"]
    commands = [
        ["create", "my-first", "--class", "threshold", "--sku", "PROD-001=1@1500", "--customer", "CUST-1", *address],
        ["wait", "my-first", "--for", "waiting", "--timeout", "60s"],
        ["inbox"],
        ["approve", "my-first", "--reason", "my first", "--yes"],
        ["wait", "my-first", "--timeout", "60s"],
        ["track", "my-first"],
    ]
    said = [
        subprocess.run(
            ["kubectl", "order", *command],  # noqa: S607 - the stack's, by PATH
            env=variables(stack),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for command in commands
    ]
    took = start + time.monotonic() - began

    assert "my-first" in said[2]
    assert "✓  Ship" in said[-1]
    assert took <= a_minute(), f"the start {start:.0f} s, all {took:.0f} s"
