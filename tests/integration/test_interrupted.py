"""Ctrl-C in `make test`: nothing that its processes started is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from terminal import with_ctrl_c

ROOT = Path(__file__).resolve().parents[2]
# As a process leaves its servers that was killed before it could stop them.
TEST = """
import time
from order_devstack.stack import Stack

def test_without_an_end(tmp_path):
    Stack(tmp_path / "stack", ui=False).start("etcd")
    (tmp_path / "started").touch()
    time.sleep(600)
"""


def test_ctrl_c_ends_the_servers_of_every_process(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"test_{number}.py").write_text(TEST)
    run = tmp_path / "run"
    options = ["-n", "2", "--dist", "loadfile", f"--rootdir={ROOT}", f"--basetemp={run}", "-p", "conftest"]
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "-c", str(ROOT / "pyproject.toml"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a group of its own, which is what a terminal sends Ctrl-C to
        preexec_fn=with_ctrl_c,
    )
    servers: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 60
        while len(list(run.glob("*/*/started"))) < 2:
            assert tests.poll() is None, tests.communicate()[0]
            assert time.monotonic() < deadline, "two processes did not start a server each"
            time.sleep(0.1)
        pid_files = run.glob("*/*/stack/run/etcd.pid")
        servers = [psutil.Process(int(file.read_text())) for file in pid_files]

        os.killpg(tests.pid, signal.SIGINT)
        output = tests.communicate(timeout=120)[0]

        assert "KeyboardInterrupt" in output
        _, left = psutil.wait_procs(servers, timeout=5)
        assert left == []
    finally:
        tests.kill()
        for server in servers:
            if server.is_running():
                server.kill()
