"""What tests of the audit trail share: key rings, orders with all kinds of events, one check of everything."""

import base64
import sqlite3
from contextlib import closing
from pathlib import Path

from shop import Buyer, Shop
from sqlalchemy import Connection, delete, text

from order_worker.ledger import tables
from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.snapshot import snapshot
from order_worker.ledger.verification import Verification


def ring_line(key_id: str, letter: str = "k") -> str:
    return f"{key_id}: {base64.b64encode(letter.encode() * 32).decode()}\n"


def ring_file(folder: Path, *lines: str) -> Path:
    path = folder / "audit-keys"
    path.write_text("".join(lines or [ring_line("2026")]))
    return path


def a_ring(folder: Path, *lines: str) -> KeyRing:
    ring = KeyRing.from_environment({"ORDER_LEDGER_AUDIT_KEY_FILE": str(ring_file(folder, *lines))})
    assert ring is not None
    return ring


async def completed(shop: Shop, number: int = 1) -> Buyer:
    """An order that took money and pieces."""
    buyer = await shop.buyer(number)
    await shop.fraud.check(buyer.fraud_check())
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    await shop.stock.commit(buyer.commit())
    await shop.orders.close(buyer.close())
    return buyer


async def cancelled(shop: Shop, number: int = 1) -> Buyer:
    """An order that gave everything back."""
    buyer = await shop.buyer(number)
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.payments.refund(buyer.refund())
    await shop.stock.release(buyer.release())
    await shop.orders.close(buyer.close("Order Cancelled"))
    return buyer


def flaws(url: str, ring: KeyRing | None = None) -> list[str]:
    with snapshot(url) as tx:
        return [str(flaw) for flaw in Verification(ring).flaws(tx)]


async def delete_orders(shop: Shop, url: str) -> None:
    """Every row of `orders`, past the database's foreign keys."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.execute("DELETE FROM orders")
        return

    def remove(tx: Connection) -> None:
        for table in ("audit_events", "operations", "payments"):
            tx.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT fk_{table}_order_uid"))
        tx.execute(delete(tables.orders))

    await shop.ledger.transaction(remove)
