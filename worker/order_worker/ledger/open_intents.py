"""Money that is neither taken nor refused yet, by the age of the intent."""

from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from order_worker.ledger.operation_kind import OperationKind
from order_worker.ledger.tables import operations

MONEY = (OperationKind.CHARGE, OperationKind.REFUND)

AGES = {
    "under_1m": timedelta(minutes=1),
    "1m_to_10m": timedelta(minutes=10),
    "10m_to_1h": timedelta(hours=1),
}
OLDEST = "over_1h"

LIMIT = 10_000
"""Rows that are looked at, the oldest first; a count that reaches it says `at least`."""


def count(tx: Connection, now: datetime) -> dict[tuple[str, str], int]:
    """By kind and age, zeros included. Reads the partial index of what is open, which is short."""
    kinds = select(operations.c.kind, operations.c.created_at).where(
        operations.c.state == "intent", operations.c.kind.in_(MONEY)
    )
    rows = tx.execute(kinds.order_by(operations.c.created_at).limit(LIMIT))
    found = Counter((row.kind, _age(now - row.created_at)) for row in rows)
    return {(kind.value, age): found[kind.value, age] for kind in MONEY for age in (*AGES, OLDEST)}


def _age(age: timedelta) -> str:
    return next((name for name, limit in AGES.items() if age < limit), OLDEST)
