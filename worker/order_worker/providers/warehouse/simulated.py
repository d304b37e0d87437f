"""A warehouse that remembers what it packed and never runs out: the pieces themselves are the stock ledger's."""

from collections.abc import Collection
from functools import partial

from order_domain.errors import OperationCancelled, OperationConflict
from order_worker.providers.store import ProviderStore, Row, Transaction, now
from order_worker.providers.warehouse.port import Warehouse


class SimulatedWarehouse(Warehouse):
    """Its jobs and lines are rows of the providers' store."""

    def __init__(self, store: ProviderStore) -> None:
        self._store = store

    async def pack(self, key: str, *, line_id: str, sku: str, quantity: int) -> None:
        """Looks for the void and packs in one transaction."""
        row = await self._store.transaction(partial(_pack, key, line_id, sku, quantity))
        if row is None:
            raise OperationCancelled(f"packing {key} was undone")
        if (row["sku"], row["quantity"]) != (sku, quantity):
            raise OperationConflict(f"line {line_id} of packing {key} was asked for before with other parameters")

    async def unpack(self, key: str, keep: Collection[str] = ()) -> None:
        """In one transaction, so that no line can come between."""
        await self._store.transaction(partial(_unpack, key, frozenset(keep)))


def _pack(key: str, line_id: str, sku: str, quantity: int, tx: Transaction) -> Row | None:
    if tx.execute("SELECT 1 FROM unpackings WHERE key = ?", (key,)).fetchone():
        return None
    tx.execute(
        "INSERT INTO packed_lines (key, line_id, sku, quantity, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (key, line_id) DO NOTHING",
        (key, line_id, sku, quantity, now()),
    )
    row: Row = tx.execute("SELECT * FROM packed_lines WHERE key = ? AND line_id = ?", (key, line_id)).fetchone()
    return row


def _unpack(key: str, keep: frozenset[str], tx: Transaction) -> None:
    tx.execute("INSERT INTO unpackings (key, at) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (key, now()))
    packed = tx.execute("SELECT line_id FROM packed_lines WHERE key = ? AND unpacked_at IS NULL", (key,)).fetchall()
    for row in packed:
        if row["line_id"] not in keep:
            tx.execute(
                "UPDATE packed_lines SET unpacked_at = ? WHERE key = ? AND line_id = ?", (now(), key, row["line_id"])
            )
