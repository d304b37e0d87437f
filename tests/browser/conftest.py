"""A real stack, a console in front of it, and a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from shop_floor import NAMESPACE, PROOF, AnotherConsole, Shop, Visit

from order_devstack.stack import Stack

PATIENCE_SECONDS = 60.0
AXE = "axe-core@4.14.1"
ROLES = {"maria": ["editor", "high-approver", "canceller", "auditor"], "vera": ["viewer"]}
"""Who may what in the namespace."""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, with people who have the chart's roles."""
    stack = Stack(tmp_path_factory.mktemp("browser"), ui=False)
    try:
        stack.up()
        stack.kubectl("create", "namespace", NAMESPACE)
        stack.kubectl("label", "namespace", NAMESPACE, "order-platform.dev/policies=enforced")
        for user, roles in ROLES.items():
            for role in roles:
                name = f"order-platform-{role}"
                stack.kubectl(
                    "create",
                    "rolebinding",
                    f"{user}-{role}",
                    f"--clusterrole={name}",
                    f"--user={user}",
                    f"-n={NAMESPACE}",
                )
        yield stack
    finally:
        stack.clean()


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    yield Shop(stack)
    stack.kubectl("delete", "orders.order-platform.dev", "--all", "-n", NAMESPACE, "--timeout=120s")


@contextmanager
def served(stack: Stack, log: Path, port: int, **told: str) -> Iterator[subprocess.Popen[bytes]]:
    """A console of this stack, once it is ready."""
    variables = {
        "KUBECONFIG": str(stack.kubeconfig),
        "ORDER_CONSOLE_LISTEN": f"127.0.0.1:{port}",
        "ORDER_CONSOLE_IDENTITY": "proxy",
        "ORDER_CONSOLE_PROXY_SECRET": PROOF,
        "ORDER_CONSOLE_LEDGER_URL": f"sqlite:///{stack.root / 'data' / 'ledger.db'}",
        **told,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "order_console"], env={**os.environ, **variables}, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _ready(f"http://127.0.0.1:{port}/readyz"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, log.read_text()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def console(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console behind a proxy that says who calls; the browsers of the tests are that proxy."""
    port = _free_port()
    with served(stack, tmp_path_factory.mktemp("console") / "console.log", port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def another_console(stack: Stack, tmp_path: Path) -> AnotherConsole:
    """One that may be ended and started again."""
    port = _free_port()
    return AnotherConsole(f"http://127.0.0.1:{port}", partial(served, stack, tmp_path / "console.log", port))


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own console
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The machine's own."""
    expect.set_options(timeout=30_000)
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, (
        "Chromium is needed for these tests: apt-get install chromium, or `make test-browser` as root on Debian"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, console: str) -> Iterator[Visit]:
    """Opens a page of the console as somebody: `visit("maria", "/inbox")`. An error in its scripts fails the test."""
    opened: list[BrowserContext] = []
    errors: list[str] = []

    def open_page(user: str, path: str = "/", **options: Any) -> Page:
        context = chromium.new_context(
            extra_http_headers={"X-Order-Console-Proof": PROOF, "X-Forwarded-User": user},
            base_url=console,
            **options,
        )
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"a dialog: {dialog.message}"))
        page.goto(path)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script that looks for barriers, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    assert npm, "npm is needed to get axe-core: apt-get install npm"
    subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, check=True, capture_output=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        script = tar.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()
