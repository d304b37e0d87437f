"""Anchors outside of the ledger find what the ledger itself cannot show."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from audited import a_ring, cancelled, completed, delete_orders, ring_line
from shop import Shop
from sqlalchemy import Connection, delete, select, text, update

from order_worker.ledger import anchors, tables
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.snapshot import snapshot
from order_worker.ledger.verification import Verification

EVENTS, ORDERS = tables.audit_events, tables.orders


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return a_ring(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "anchors"
    made.mkdir()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def anchor(shop: Shop, folder: Path, ring: KeyRing | None) -> anchors.Anchor:
    return await shop.ledger.transaction(partial(anchors.write, keys=ring, out=folder))


def found(url: str, folder: Path, ring: KeyRing | None) -> list[str]:
    given = anchors.read([folder])
    with snapshot(url) as tx:
        check = Verification(ring, anchors.heads(given))
        return [str(flaw) for flaw in (*check.flaws(tx), *anchors.flaws(tx, given, ring))]


async def test_an_honest_ledger_fits_its_anchors(shop: Shop, ledger_url: str, folder: Path, ring: KeyRing) -> None:
    await anchor(shop, folder, ring)
    await cancelled(shop, 1)
    await anchor(shop, folder, ring)
    await completed(shop, 2)
    third = await anchor(shop, folder, ring)
    await shop.buyer(3)
    assert names(folder) == [f"anchor-{number:08}.jsonl" for number in (1, 2, 3)]
    assert third.content["orders"] == 2
    assert found(ledger_url, folder, ring) == []


async def test_an_anchor_tells_of_the_trails_that_moved(
    shop: Shop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchors, "OVERLAP", anchors.timedelta())
    await cancelled(shop, 1)
    assert [head.uid for head in (await anchor(shop, folder, None)).heads] == ["uid-1"]
    await completed(shop, 2)
    assert [head.uid for head in (await anchor(shop, folder, None)).heads] == ["uid-2"]


async def test_standard_output_chains_its_anchors_too(shop: Shop, ledger_url: str, ring: KeyRing) -> None:
    out = io.StringIO()
    for number in (1, 2):
        await cancelled(shop, number)
        await shop.ledger.transaction(partial(anchors.write, keys=ring, out=out))
    first, second = (anchors.Anchor(json.loads(line)) for line in out.getvalue().splitlines())
    assert second.content["previous"] == first.digest()


async def test_a_deleted_order_is_found(shop: Shop, ledger_url: str, folder: Path, ring: KeyRing) -> None:
    """With every row of it, so that nothing in the ledger misses it."""
    await shop.buyer()
    await anchor(shop, folder, ring)

    def remove(tx: Connection) -> None:
        for table in (EVENTS, tables.operations, ORDERS):
            tx.execute(delete(table))

    await shop.ledger.transaction(remove)
    assert found(ledger_url, folder, ring) == ["order uid-1: an anchor knows its event 1, the ledger has no such order"]


async def rewritten(shop: Shop, total_minor: int = 1) -> None:
    """The order as if it had always cost something else, with every seal right, by who has the key as well."""

    def remove(tx: Connection) -> None:
        for table in (EVENTS, tables.operations, ORDERS):
            tx.execute(delete(table))

    buyer = await shop.buyer()
    await shop.ledger.transaction(remove)
    await shop.orders.receive(buyer.receive(total_minor=total_minor))


async def test_a_rewritten_chain_is_found(shop: Shop, ledger_url: str, folder: Path, ring: KeyRing) -> None:
    await shop.buyer()
    await anchor(shop, folder, ring)
    await rewritten(shop)
    [flaw] = found(ledger_url, folder, ring)
    assert flaw == "order shop/order-1 (uid-1): its trail is not the one whose event 1 an anchor knows"


async def test_a_shortened_trail_is_found(shop: Shop, ledger_url: str, folder: Path, ring: KeyRing) -> None:
    """Shortened with the head and the books, as an older backup would be."""
    buyer = await shop.buyer()
    await shop.fraud.check(buyer.fraud_check())
    await anchor(shop, folder, ring)

    def shorten(tx: Connection) -> None:
        tx.execute(delete(EVENTS).where(EVENTS.c.seq == 2))
        tx.execute(delete(tables.operations).where(tables.operations.c.kind == "check_fraud"))
        first = tx.execute(select(EVENTS.c.hash)).scalar_one()
        tx.execute(update(ORDERS).values(last_seq=1, last_hash=first))

    await shop.ledger.transaction(shorten)
    assert "an anchor knows" in found(ledger_url, folder, ring)[0]


async def three_anchors(shop: Shop, folder: Path, ring: KeyRing) -> None:
    for number in (1, 2, 3):
        await shop.buyer(number)
        await anchor(shop, folder, ring)


@pytest.mark.parametrize("number", [2, 3])
async def test_a_missing_anchor_is_missed(
    shop: Shop, ledger_url: str, folder: Path, ring: KeyRing, number: int
) -> None:
    await three_anchors(shop, folder, ring)
    (folder / f"anchor-{number:08}.jsonl").unlink()
    assert f"anchor {number}: it is missing" in found(ledger_url, folder, ring)


async def test_the_oldest_anchors_may_be_gone(shop: Shop, ledger_url: str, folder: Path, ring: KeyRing) -> None:
    await three_anchors(shop, folder, ring)
    (folder / "anchor-00000001.jsonl").unlink()
    assert found(ledger_url, folder, ring) == []


async def test_a_ledger_that_forgot_its_anchors_is_found(
    shop: Shop, ledger_url: str, folder: Path, ring: KeyRing
) -> None:
    await three_anchors(shop, folder, ring)
    await shop.ledger.transaction(
        lambda tx: tx.execute(delete(tables.audit_anchors).where(tables.audit_anchors.c.number == 3)).rowcount
    )
    assert found(ledger_url, folder, ring) == [
        "anchor 3: the ledger never wrote it: the ledger is older than its anchors"
    ]


def another_head(content: dict[str, object]) -> None:
    content["heads"] = []


def another_predecessor(content: dict[str, object]) -> None:
    content["previous"] = "0" * 64


@pytest.mark.parametrize("change", [another_head, another_predecessor])
async def test_a_changed_anchor_is_found(
    shop: Shop, ledger_url: str, folder: Path, ring: KeyRing, change: Callable[[dict[str, object]], None]
) -> None:
    await three_anchors(shop, folder, ring)
    path = folder / "anchor-00000002.jsonl"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    flaws = found(ledger_url, folder, ring)
    assert "anchor 2: its signature is wrong" in flaws
    assert "anchor 2: it is not the one that the ledger wrote" in flaws
    assert "anchor 3: it does not follow anchor 2" in flaws


async def test_an_anchor_whose_key_is_unknown_is_a_flaw(
    shop: Shop, ledger_url: str, folder: Path, ring: KeyRing, tmp_path: Path
) -> None:
    await anchor(shop, folder, ring)
    other = a_ring(tmp_path, ring_line("other"))
    assert found(ledger_url, folder, other) == ["anchor 1: it is signed with key 2026, which the ring does not have"]


async def test_an_anchor_that_the_ledger_did_not_learn_of_is_learned_by_the_next_call(
    shop: Shop, ledger_url: str, folder: Path, ring: KeyRing
) -> None:
    await shop.buyer()
    written = await anchor(shop, folder, ring)
    await shop.ledger.transaction(lambda tx: tx.execute(text("DELETE FROM audit_anchors")).rowcount)
    assert (await anchor(shop, folder, ring)).digest() == written.digest()
    assert (await anchor(shop, folder, ring)).number == 2
    assert found(ledger_url, folder, ring) == []


async def test_anchors_are_found_among_the_lines_of_a_log(
    shop: Shop, ledger_url: str, folder: Path, ring: KeyRing, tmp_path: Path
) -> None:
    await three_anchors(shop, folder, ring)
    lines = [anchor.line() for anchor in anchors.read([folder])]
    log = tmp_path / "log"
    log.write_text("\n".join(['{"level": "INFO"}', lines[0], "started", *lines[1:]]))
    assert len(anchors.read([log])) == 3
    assert found(ledger_url, log, ring) == []


async def test_orders_deleted_past_the_foreign_keys_are_found_once_by_anchor_and_rows(
    shop: Shop, ledger_url: str, folder: Path, ring: KeyRing
) -> None:
    await shop.buyer()
    await anchor(shop, folder, ring)
    await delete_orders(shop, ledger_url)
    assert "order uid-1: an anchor knows its event 1, the ledger has no such order" in found(ledger_url, folder, ring)
