"""Building servers with Go, on a program small enough to compile in a second."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from terminal import with_ctrl_c

from order_devstack import servers
from order_devstack.errors import DevstackError

PROGRAM = """package main

import "fmt"

var version = "unstamped"

func main() { fmt.Println("hello", version) }
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The main.go of `hello` 1.2.3, the only program there is to obtain."""
    hello = tmp_path / "servers" / "hello"
    (hello / "program").mkdir(parents=True)
    (hello / "go.mod").write_text(
        "module example.test/build\n\ngo 1.26.0\n\nrequire example.test/hello v1.2.3\n\n"
        "replace example.test/hello => ./program\n\ntool example.test/hello\n"
    )
    (hello / "go.sum").touch()
    (hello / "program" / "go.mod").write_text("module example.test/hello\n\ngo 1.26.0\n")
    (hello / "program" / "main.go").write_text(PROGRAM)
    tool = servers.Tool(
        name="hello",
        folder="hello",
        module="example.test/hello",
        package="example.test/hello",
        version_arguments=(),
        stamps=("main.version={version}",),
    )
    monkeypatch.setattr(servers, "MODULES", tmp_path / "servers")
    monkeypatch.setattr(servers, "TOOLS", {"hello": tool})
    monkeypatch.setenv("ORDER_DEVSTACK_CACHE", str(tmp_path / "cache"))
    return hello / "program" / "main.go"


def cache_entries() -> set[str]:
    return {path.suffix for path in servers.cache_directory().iterdir()}


@pytest.mark.usefixtures("source")
def test_a_built_program_carries_its_version() -> None:
    program = servers.obtain(["hello"], out=io.StringIO())["hello"]

    assert subprocess.check_output([program], text=True) == "hello 1.2.3\n"


@pytest.mark.usefixtures("source")
def test_progress_names_the_program_and_where_it_is() -> None:
    out = io.StringIO()

    program = servers.obtain(["hello"], out=out)["hello"]

    first, *_, last = out.getvalue().splitlines()
    assert first == "hello: building, 0 s"
    assert last.startswith("hello: built in")
    assert last.endswith(str(program))


@pytest.mark.usefixtures("source")
def test_a_program_in_the_cache_is_not_built_again() -> None:
    servers.obtain(["hello"], out=io.StringIO())
    out = io.StringIO()

    servers.obtain(["hello"], out=out)

    assert out.getvalue() == ""


@pytest.mark.usefixtures("source")
def test_two_at_once_build_it_once() -> None:
    outputs = [io.StringIO(), io.StringIO()]
    threads = [threading.Thread(target=servers.obtain, args=(["hello"],), kwargs={"out": out}) for out in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum("built in" in out.getvalue() for out in outputs) == 1


def test_a_failed_build_shows_the_compilers_words_and_where_the_rest_is(source: Path) -> None:
    source.write_text("package main\n\nfunc main() { undefinedName() }\n")

    with pytest.raises(DevstackError, match="undefinedName") as failure:
        servers.obtain(["hello"], out=io.StringIO())

    assert str(next(servers.cache_directory().glob("*.log"))) in str(failure.value)
    assert cache_entries() == {".log", ".lock"}


@pytest.mark.usefixtures("source")
def test_what_a_killed_build_left_does_not_disturb_the_next() -> None:
    program = servers.obtain(["hello"], out=io.StringIO())["hello"]
    program.parent.rename(program.parent.with_name(f"{program.parent.name}.unfinished"))

    assert servers.obtain(["hello"], out=io.StringIO())["hello"].exists()
    assert not list(servers.cache_directory().glob("*.unfinished"))


def test_an_interrupted_build_leaves_neither_file_nor_compiler(tmp_path: Path) -> None:
    report = tmp_path / "go.json"
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys, time\n"
        "if sys.argv[1] == 'env':\n    sys.exit(print('go1.26.8'))\n"
        "output = pathlib.Path(sys.argv[sys.argv.index('-o') + 1])\n"
        "output.parent.mkdir(parents=True)\noutput.write_text('half')\n"
        f"pathlib.Path({str(report)!r}).write_text(json.dumps(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    go.chmod(0o755)
    environment = {**os.environ, "PATH": str(go.parent), "ORDER_DEVSTACK_CACHE": str(tmp_path / "cache")}
    command = subprocess.Popen(
        [sys.executable, "-m", "order_devstack", "obtain"],
        env=environment,
        stderr=subprocess.PIPE,
        preexec_fn=with_ctrl_c,
    )
    deadline = time.monotonic() + 20
    while not report.exists() or not report.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)

    command.send_signal(signal.SIGINT)
    command.communicate(timeout=20)

    assert command.returncode == 130
    assert not psutil.pid_exists(json.loads(report.read_text()))
    assert not list((tmp_path / "cache").glob("*.unfinished"))
