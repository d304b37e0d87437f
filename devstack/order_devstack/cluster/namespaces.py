"""Holds the namespaces of one node: `python -m order_devstack.cluster.namespaces FOLDER`.

The node's first process is a child of `unshare`, which is a child of this one. When this process ends, however it
ends, the kernel kills the first process, and with it every process of the node and everything it has mounted.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from order_devstack.cluster import cgroups, mount_points
from order_devstack.cluster.layout import Layout

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.05
_INIT_SECONDS = 10.0
"""Until unshare has forked; it takes milliseconds."""


def hold(layout: Layout) -> int:
    """Run a node until it ends or this process is asked to stop; returns its exit code."""
    cgroups.remove_abandoned()
    cgroup = cgroups.name()
    with mount_points.prepared():
        try:
            return _run(layout, cgroup)
        finally:
            cgroups.remove(cgroup)
            layout.init_pid.unlink(missing_ok=True)
            layout.ready.unlink(missing_ok=True)


def _run(layout: Layout, cgroup: str) -> int:
    library = ctypes.CDLL(None)

    def die_with_parent() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    unshare = subprocess.Popen(
        [
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"),
            *("--propagation", "private"),
            *(sys.executable, "-P", "-m", "order_devstack.cluster.init_process", str(layout.root), cgroup),
        ],
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread runs here
    )
    init = _only_child(unshare)
    unfinished = layout.init_pid.with_suffix(".unfinished")
    unfinished.write_text(str(init))
    unfinished.replace(layout.init_pid)

    def pass_on(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(init, signal.SIGTERM)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    return unshare.wait()


def _only_child(parent: "subprocess.Popen[bytes]") -> int:
    deadline = time.monotonic() + _INIT_SECONDS
    while time.monotonic() < deadline and parent.poll() is None:
        if children := Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split():
            return int(children[0])
        time.sleep(_POLL_SECONDS)
    parent.kill()
    sys.exit("unshare started nothing: namespaces are not allowed here")


if __name__ == "__main__":
    sys.exit(hold(Layout(Path(sys.argv[1]))))
