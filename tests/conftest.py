"""What all tests share. Being here, this file puts the folder on the import path, so that every test can import
`builders`."""

import gc
import os
import sys
import tempfile
from pathlib import Path

import hypothesis
import lasting_servers
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


LONGEST = {"test_scenarios.py", "test_evidence.py", "test_orders.py", "test_stock_items.py", "test_survival.py"}
"""Modules that take a minute and a half or more. None of them begins when all others are through."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that need servers of a whole session come last, those with the costliest at the very end."""
    needs: dict[Path, int] = {}
    for item in items:
        needs[item.path] = max(needs.get(item.path, 0), lasting_servers.cost(item))
    items.sort(key=lambda item: (needs[item.path], item.path.name not in LONGEST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Servers that nobody asks take a fortieth of a core all the same."""
    lasting_servers.run_those_of(item)


def pytest_collection_finish() -> None:
    """What has been loaded so far stays: it need not be looked through for garbage again and again."""
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers that are left after all tests, however the processes ended that ran them."""
    if hasattr(config, "workerinput"):  # one of several processes; the one that started them looks after all
        return
    kill_all_below(config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    delete_abandoned_folders()
