"""Workers of the previous release go on, on the schema of this one.

It asks for exactly its own revision when it starts, which cannot be mended any more: workers that run already never
notice, and one that starts after the migration waits until its own release is replaced. From this release on,
`schema_revisions` lets it start as well.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import previous_release
import pytest
from audited import flaws
from ledger_databases import own_database
from previous_release import environment, obtain, start

from order_worker.ledger import schema, tables
from order_worker.ledger.connections import connect
from order_worker.ledger.database import Ledger

pytestmark = pytest.mark.long

WORKER = """
import asyncio, sys
from pathlib import Path
import order_worker
from order_worker.bootstrap import Providers
from order_worker.ledger import schema
from order_worker.ledger.database import Ledger, connect
from order_worker.settings import Settings
from shop import Buyer, Shop

assert order_worker.__file__.startswith(sys.argv[3]), order_worker.__file__

async def begin(shop, buyer):
    await shop.orders.receive(buyer.receive())
    await shop.fraud.check(buyer.fraud_check())
    await shop.stock.reserve(buyer.reserve())

async def forward(shop, buyer):
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())

async def back(shop, buyer):
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    await shop.shipping.cancel(buyer.cancel_shipment())
    await shop.payments.refund(buyer.refund())
    await shop.stock.release(buyer.release())
    await shop.orders.close(buyer.close("Order Cancelled"))

async def main():
    engine = connect(sys.argv[1])
    schema.migrate(engine)
    engine.dispose()
    providers = await Providers.open(Settings(provider_store=Path(sys.argv[2])), {})
    ledger = await Ledger.open(sys.argv[1])
    shop = Shop(ledger, providers)
    await shop.stocked(PROD_001=100)
    buyers = [Buyer(uid=f"uid-{n}", name=f"order-{n}", order_id=f"ORDER-{n}") for n in range(5)]
    await begin(shop, buyers[0])
    await begin(shop, buyers[1])
    print("open", flush=True)
    await asyncio.to_thread(input)
    await forward(shop, buyers[0])
    await back(shop, buyers[1])
    await begin(shop, buyers[2])
    await forward(shop, buyers[2])
    await begin(shop, buyers[3])
    await back(shop, buyers[3])
    await shop.orders.receive(buyers[4].receive())
    await shop.stock.reserve(buyers[4].reserve())
    await shop.orders.halt(buyers[4].halt())
    await shop.stock.release(buyers[4].release())
    await shop.orders.close(buyers[4].close("Order Failed"))
    print(await shop.counts(), flush=True)
    await ledger.close()
    await providers.close()

asyncio.run(main())
"""

ON_THE_NEW_SCHEMA = """
import os, subprocess, sys
from order_worker.ledger import schema

def migrate(engine):
    engine.dispose()
    url = engine.url.set(drivername=engine.url.drivername.partition("+")[0])
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own["ORDER_LEDGER_URL"] = url.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-m", "order_worker", "migrate"], env=own, check=True, cwd="/")

schema.migrate = migrate
schema.check = lambda connection: None
"""
"""Into the previous release's own tests: their ledger is made by this release, and already open."""

THEIR_TESTS = ("halt", "orders", "payments")
"""Of receiving, charging, ending and undoing. The running worker does the rest, on the same tables."""

NOT_PROMISED: dict[str, str] = {}
"""Tests of theirs that say something about more than the schema, with the reason."""


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return obtain(tmp_path_factory.mktemp("previous"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        with own_database(request.getfixturevalue("postgresql"), template="template0") as url:
            yield url


async def test_a_running_worker_of_the_previous_release_carries_orders_on_over_the_migration(
    release: Path, empty_url: str, tmp_path: Path
) -> None:
    worker = start(release, WORKER, empty_url, str(tmp_path / "providers.db"), str(release))
    assert worker.stdout is not None
    try:
        assert worker.stdout.readline() == "open\n"
        engine = connect(empty_url)
        reached = schema.migrate(engine)
        engine.dispose()
        assert reached == schema._scripts().get_current_head()
        answer, _ = worker.communicate("go on\n", timeout=120)
    finally:
        worker.kill()
    assert (answer, worker.returncode) == ("(96, 0, 4)\n", 0)

    assert flaws(empty_url) == []
    ledger = await Ledger.open(empty_url)
    try:
        books = await ledger.transaction(
            lambda tx: [
                (row.order_uid, row.captured_minor, row.refunded_minor)
                for row in tx.execute(tables.payments.select().order_by(tables.payments.c.order_uid))
            ]
        )
        ends = await ledger.transaction(
            lambda tx: tx.execute(tables.orders.select().order_by(tables.orders.c.uid)).mappings().all()
        )
        undone = await ledger.transaction(
            lambda tx: {
                row.operation_id: row.reversed_by
                for row in tx.execute(tables.operations.select().where(tables.operations.c.reversed_by.is_not(None)))
            }
        )
    finally:
        await ledger.close()
    assert undone == {
        **{f"uid-{n}/charge": f"uid-{n}/refund" for n in (1, 3)},
        **{f"uid-{n}/ship/1": f"uid-{n}/ship/1/cancel" for n in (1, 3)},
        **{f"uid-{n}/reserve": f"uid-{n}/release" for n in (1, 3, 4)},
    }
    assert books == [("uid-0", 750, 0), ("uid-1", 750, 750), ("uid-2", 750, 0), ("uid-3", 750, 750)]
    completed, cancelled, failed = "Order Completed", "Order Cancelled", "Order Failed"
    assert [row["status"] for row in ends] == [completed, cancelled, completed, cancelled, failed]


def test_the_previous_releases_own_tests_of_the_ledger_pass_on_the_schema_of_this_one(release: Path) -> None:
    (release / "tests" / "on_the_new_schema.py").write_text(ON_THE_NEW_SCHEMA)
    names = [f"tests/contract/test_ledger_{name}.py" for name in THEIR_TESTS]
    left_out = [f"--deselect=tests/contract/{name}" for name in NOT_PROMISED]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "on_the_new_schema", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *names, *left_out],
        cwd=release,
        env=environment(release),
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_a_clone_without_the_previous_release_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previous_release, "ROOT", tmp_path)
    with pytest.raises(previous_release.NoPreviousRelease, match="git fetch --unshallow"):
        obtain(tmp_path)
