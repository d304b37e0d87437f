"""The audit of dependencies, against a source of advisories of this test's own."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from order_devstack.release.advisories import Verdict, audit

HASH = "--hash=sha256:" + "0" * 64
ADVISORY = {"id": "PYSEC-2026-1", "summary": "", "details": "", "aliases": [], "modified": "2026-01-01T00:00:00Z"}


@contextmanager
def a_source(weak: set[str]) -> Iterator[str]:
    """Answers as OSV does; packages of these names have an advisory."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found: dict[str, Any] = {"vulns": [advisory(asked["package"]["name"])]} if _name(asked) in weak else {}
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def _name(asked: dict[str, Any]) -> str:
    return str(asked["package"]["name"]).lower()


def advisory(name: str) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]
    return {**ADVISORY, "affected": [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]}


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    file = tmp_path / "pins.txt"
    file.write_text(f"ours==1.0 \\\n    {HASH}\n")
    return file


def by(url: str) -> list[str]:
    return ["--vulnerability-service=osv", f"--osv-url={url}"]


def test_pins_without_an_advisory_are_fine(pins: Path) -> None:
    with a_source({"jinja2"}) as url:
        assert audit([pins], by(url)).verdict is Verdict.FINE


def test_a_pin_with_an_advisory_is_named_with_the_version_that_mends_it(pins: Path) -> None:
    with a_source({"jinja2", "ours"}) as url:
        found = audit([pins], by(url))

    assert found.verdict is Verdict.WEAK
    assert found.lines == ("ours 1.0: PYSEC-2026-1, mended in 99",)


def test_a_source_that_knows_nothing_of_the_planted_pin_has_checked_nothing(pins: Path) -> None:
    with a_source(set()) as url:
        found = audit([pins], by(url))

    assert found.verdict is Verdict.NOT_CHECKED
    assert "does not work" in found.lines[0]


def test_without_a_source_nothing_is_checked(pins: Path) -> None:
    assert audit([pins], by("http://127.0.0.1:9/v1/query")).verdict is Verdict.NOT_CHECKED
