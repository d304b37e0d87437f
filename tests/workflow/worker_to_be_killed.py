"""A worker of the product in a process of its own, which hangs once a transaction of the ledger has committed and
before the workflow task ends, so that a test can kill it there. Arguments: the address of Temporal, the task queue, the
ledger's URL, the simulated providers' file, the name of the ledger's function."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from order_worker.bootstrap import Providers, build_worker
from order_worker.ledger.database import Ledger
from order_worker.settings import Settings

COMMITTED = "committed"
"""What it prints then."""


class HangingLedger(Ledger):
    """Answers nothing after `where` has committed."""

    where = ""

    async def transaction(self, work: Callable[..., Any]) -> Any:
        """As the ledger does, or never."""
        result = await super().transaction(work)
        function = work.func if isinstance(work, partial) else work
        if function.__name__ == self.where:
            print(COMMITTED, flush=True)  # noqa: T201 - what the test waits for
            await asyncio.Event().wait()
        return result


async def main(address: str, queue: str, ledger_url: str, store: str, where: str) -> None:
    """Until it is killed."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    settings = Settings(provider_store=Path(store), task_queue=queue)
    ledger = await HangingLedger.open(ledger_url)
    ledger.where = where
    await build_worker(client, settings, ledger, await Providers.open(settings, {})).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
