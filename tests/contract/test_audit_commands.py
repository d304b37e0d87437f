"""What `order-worker audit`, `verify-audit`, `audit-heads` and `erase-customer` say, and how they end."""

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest
from audited import cancelled, completed, ring_file
from shop import Buyer, Shop
from sqlalchemy import update

from order_worker.__main__ import main
from order_worker.ledger import audit, tables
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.database import Ledger
from order_worker.ledger.locked_order import lock


@pytest.fixture(autouse=True)
def _environment(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_LEDGER_URL", ledger_url)


async def ran(*arguments: str) -> int:
    """In a thread: a command has an event loop of its own."""
    return await asyncio.to_thread(main, arguments)


async def test_a_ledger_without_a_flaw_ends_with_0(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await cancelled(shop)
    assert await ran("verify-audit") == 0
    assert capsys.readouterr().out == "no flaws in the audit trail (1 orders, 8 events, 8 unkeyed, 0 anchors)\n"


async def test_a_flaw_ends_with_1_and_is_told(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await cancelled(shop)
    await shop.ledger.transaction(lambda tx: tx.execute(update(tables.orders).values(total_minor=1)).rowcount)
    assert await ran("verify-audit", "-o", "json") == 1
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"subject": "order shop/order-1 (uid-1)", "what": "its total is 1, its events say 750"}
    assert last == {"flaws": 1, "orders": 1, "events": 8, "unkeyed": 8, "anchors": 0}


async def test_a_ledger_that_is_not_there_ends_with_2_and_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDER_LEDGER_URL", f"sqlite:///{tmp_path / 'nowhere.db'}")
    assert await ran("verify-audit") == 2
    assert not (tmp_path / "nowhere.db").exists()
    assert "the ledger does not answer" in capsys.readouterr().err


async def test_a_path_without_anchors_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await ran("verify-audit", "--anchors", str(tmp_path / "nowhere")) == 2
    assert "nowhere" in capsys.readouterr().err


async def test_events_without_a_key_are_flaws_from_the_moment_on_that_is_named(shop: Shop) -> None:
    await cancelled(shop)
    assert await ran("verify-audit", "--keyed-since", "2100-01-01T00:00:00Z") == 0
    assert await ran("verify-audit", "--keyed-since", "2026-01-01T00:00:00Z") == 1


async def test_heads_are_anchored_and_verified(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDER_LEDGER_AUDIT_KEY_FILE", str(ring_file(tmp_path)))
    await cancelled(shop)
    folder = tmp_path / "anchors"
    assert await ran("audit-heads", "--to", str(folder)) == 2
    folder.mkdir()
    assert await ran("audit-heads", "--to", str(folder)) == 0
    assert await ran("audit-heads", "--to", "-") == 0
    (folder / "shipped.log").write_text(capsys.readouterr().out)
    assert await ran("verify-audit", "--anchors", str(folder), str(folder / "shipped.log")) == 0
    assert "2 anchors" in capsys.readouterr().out
    assert await ran("verify-audit", "--anchors", str(folder)) == 1


async def test_the_story_of_an_order_is_told(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await cancelled(shop)
    assert await ran("audit", "shop/order-1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "order uid uid-1"
    assert [line.split()[1:6] for line in lines[1:]] == [
        ["1", "workflow", "ledger", "receive", "done"],
        ["2", "workflow", "ledger", "reserve", "done"],
        ["3", "workflow", "ledger", "charge", "intent"],
        ["4", "workflow", "ledger", "charge", "done"],
        ["5", "workflow", "ledger", "refund", "intent"],
        ["6", "workflow", "ledger", "refund", "done"],
        ["7", "workflow", "ledger", "release", "done"],
        ["8", "workflow", "ledger", "close", "done"],
    ]
    assert "7.50 USD" in lines[4]


async def test_the_story_names_who_decided_and_about_what(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    buyer = await shop.buyer()
    decision = {
        "by": "bob@example.com",
        "requester": "ana@example.com",
        "editor": "eve@example.com",
        "proof": "Policy",
        "channel": "kubernetes",
        "totalMinor": 750,
        "digest": "d1",
    }
    await shop.ledger.transaction(
        lambda tx: audit.append(tx, lock(tx, buyer.identity), "approved", decision, {"reason": "known\x1b[2J customer"})
    )
    assert await ran("audit", "shop/order-1", "-o", "csv") == 0
    *_, row = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {key: row[key] for key in ("who", "channel", "what", "amount", "digest")} == {
        "who": "bob@example.com",
        "channel": "kubernetes",
        "what": "approved",
        "amount": "7.50 USD",
        "digest": "d1",
    }
    assert "asked for by ana@example.com, edited by eve@example.com, proof Policy" in row["detail"]
    assert await ran("audit", "shop/order-1") == 0
    assert "\x1b" not in capsys.readouterr().out


async def test_no_cell_of_the_csv_is_a_formula(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    buyer = await shop.buyer()
    await shop.ledger.transaction(
        lambda tx: audit.append(tx, lock(tx, buyer.identity), "cancelled", {"by": "=HYPERLINK(1)"})
    )
    assert await ran("audit", "shop/order-1", "-o", "csv") == 0
    assert ",'=HYPERLINK(1)," in capsys.readouterr().out


async def test_every_order_that_had_the_name_is_told(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await cancelled(shop, 1)
    again = Buyer(uid="uid-2", name="order-1", order_id="ORDER-2")
    await shop.orders.receive(again.receive())
    assert await ran("audit", "shop/order-1", "-o", "json") == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["uid"] for entry in entries] == ["uid-1"] * 8 + ["uid-2"]


async def test_an_unknown_order_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert await ran("audit", "shop/nobody") == 2
    assert capsys.readouterr().err == "order-worker: the ledger has no order shop/nobody\n"


@pytest.mark.parametrize("argument", ["order-1", "shop/", "/order-1", "a/b/c"])
def test_a_name_without_its_namespace_is_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["audit", argument])
    assert "<namespace>/<name>" in capsys.readouterr().err


async def everything(shop: Shop) -> str:
    tables_ = (tables.orders, tables.operations, tables.audit_events, tables.payments, tables.activity_attempts)
    return "".join([str(await shop.rows(table)) for table in tables_])


async def test_an_erased_customer_is_nowhere_and_the_chain_verifies(
    shop: Shop, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDER_LEDGER_AUDIT_KEY_FILE", str(ring_file(tmp_path)))
    keyed = Shop(await Ledger.open(ledger_url, KeyRing.from_environment({**_ring(tmp_path)})), shop.providers)
    try:
        await completed(keyed, 1)
        await cancelled(keyed, 2)
    finally:
        await keyed.ledger.close()
    assert "CUST-1" in await everything(shop)
    assert await ran("erase-customer", "CUST-1") == 0
    assert "CUST-1" not in await everything(shop)
    assert await ran("verify-audit") == 0
    assert {row["audit_salt"] for row in await shop.rows(tables.orders)} == {None}
    capsys.readouterr()
    assert await ran("erase-customer", "CUST-1") == 0
    assert capsys.readouterr().out == "the ledger has no order of this customer\n"


def _ring(folder: Path) -> dict[str, str]:
    return {"ORDER_LEDGER_AUDIT_KEY_FILE": str(ring_file(folder))}


async def test_an_order_under_way_keeps_its_customer(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await shop.buyer()
    assert await ran("erase-customer", "CUST-1") == 1
    assert "shop/order-1 (uid-1): under way" in capsys.readouterr().out
    assert [row["customer_id"] for row in await shop.rows(tables.orders)] == ["CUST-1"]


async def test_an_order_of_an_earlier_release_is_erased_too(
    shop: Shop, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events have the customer in what is sealed: the event `erased` vouches for what stands there now."""
    monkeypatch.setattr(audit, "PERSONAL", frozenset())
    await completed(shop)
    monkeypatch.undo()
    monkeypatch.setenv("ORDER_LEDGER_URL", ledger_url)
    assert await ran("verify-audit") == 0
    assert await ran("erase-customer", "CUST-1") == 0
    assert "CUST-1" not in await everything(shop)
    assert await ran("verify-audit") == 0
    first = (tables.audit_events.c.order_uid == "uid-1") & (tables.audit_events.c.seq == 1)
    other = update(tables.audit_events).where(first).values(data={"state": "done", "params": {"totalMinor": 1}})
    await shop.ledger.transaction(lambda tx: tx.execute(other).rowcount)
    assert await ran("verify-audit") == 1


async def test_what_is_sealed_never_tells_who_the_customer_is(shop: Shop) -> None:
    await completed(shop)
    buyer = Buyer()
    await shop.notifications.notify(buyer.notice())
    sealed = str([row["data"] for row in await shop.rows(tables.audit_events)])
    for told in ("CUST-1", "ana@example.com", "tok_visa", "recipient", "address", "method"):
        assert told not in sealed
