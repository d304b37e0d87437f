"""What all tests share. Being here, this file puts the folder on the import path, so that every test can import
`builders`."""

import gc
import os
import sys
import tempfile
from pathlib import Path

import hypothesis
import psutil
import pytest
from xdist.workermanage import NodeManager

from order_devstack.postgresql import delete_abandoned_folders
from order_devstack.processes import kill_all_below

STOP_SECONDS = 90
"""How long a process of `make test` may take to stop its servers after Ctrl-C; xdist kills it after 10 otherwise."""


# A machine that does much else takes longer than 200 ms for an example now and then.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")


MEMORY = Path("/dev/shm")
ROOM = 6 << 30
"""Bytes. All tests together leave less than two gigabytes."""


def pytest_configure() -> None:
    """Let Ctrl-C end the servers of every process, where tests run in several. Keep the files of all of them in memory,
    where there is much of it: the ledgers, etcd and Temporal wait for the disk at every commit, and no test is about a
    power cut. Keep bytecode, whatever the shell says: the sandbox of Temporal's SDK imports the workflow's code for
    each run, and would compile it each time."""
    NodeManager.EXIT_TIMEOUT = STOP_SECONDS
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
        # Servers and clients written in Go then look for garbage seldom, which takes a tenth of their CPU otherwise.
        os.environ.setdefault("GOGC", "400")


def _has_room() -> bool:
    if not MEMORY.is_dir() or psutil.virtual_memory().available < 2 * ROOM:
        return False
    there = os.statvfs(MEMORY)
    return there.f_bavail * there.f_frsize > ROOM and not there.f_flag & os.ST_NOEXEC


COSTLY = ("temporal_address", "servers", "platform")
"""Servers that stay until the end of the session, by what they cost a core while other tests run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that need them come last, those with the costliest at the very end."""
    needs: dict[Path, int] = {}
    for item in items:
        used = [COSTLY.index(name) + 1 for name in getattr(item, "fixturenames", ()) if name in COSTLY]
        needs[item.path] = max(needs.get(item.path, 0), *used, 0)
    items.sort(key=lambda item: needs[item.path])


def pytest_collection_finish() -> None:
    """What has been loaded so far stays: it need not be looked through for garbage again and again."""
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers that are left after all tests, however the processes ended that ran them."""
    if hasattr(config, "workerinput"):  # one of several processes; the one that started them looks after all
        return
    kill_all_below(config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    delete_abandoned_folders()
