"""What all tests share. Being here, this file puts the folder on the import path, so that every test can import
`builders`."""

import hypothesis
import pytest
from xdist.workermanage import NodeManager

from order_devstack.postgresql import delete_abandoned_folders
from order_devstack.processes import kill_all_below

STOP_SECONDS = 90
"""How long a process of `make test` may take to stop its servers after Ctrl-C; xdist kills it after 10 otherwise."""


# A machine that does much else takes longer than 200 ms for an example now and then.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")


def pytest_configure() -> None:
    """Let Ctrl-C end the servers of every process, where tests run in several."""
    NodeManager.EXIT_TIMEOUT = STOP_SECONDS


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers that are left after all tests, however the processes ended that ran them."""
    if hasattr(config, "workerinput"):  # one of several processes; the one that started them looks after all
        return
    kill_all_below(config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    delete_abandoned_folders()
