"""How the log of attempts is kept from growing for ever."""

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, delete, exists, func, select

from order_worker.ledger.database import Ledger
from order_worker.ledger.tables import activity_attempts

BATCH = 2_000
"""Rows that one transaction looks at: others wait for it a few dozen milliseconds, on SQLite for the whole ledger."""


class _Pruned(NamedTuple):
    deleted: int
    last: int | None
    """Id of the last row that was looked at; None after the end of the log."""


async def prune(ledger: Ledger, before: datetime) -> AsyncIterator[int]:
    """Delete the attempts of every order that has made none since `before`, and attempts outside of any order from
    before then; yields after each batch how many went. An order's attempts go together, or the views would count the
    missing ones as lost. What is deleted stays so if the rest fails. Raises LedgerUnavailable."""
    last: int | None = 0
    while last is not None:
        deleted, last = await ledger.transaction(partial(_prune_batch, after=last, before=before))
        yield deleted


def _prune_batch(tx: Connection, after: int, before: datetime) -> _Pruned:
    log, newer = activity_attempts, activity_attempts.alias("newer")
    window = select(log.c.id).where(log.c.id > after).order_by(log.c.id).limit(BATCH).subquery()
    last = tx.execute(select(func.max(window.c.id))).scalar_one()
    if last is None:
        return _Pruned(0, None)
    goes_on = exists().where(newer.c.order_uid == log.c.order_uid, newer.c.started_at >= before)
    old = delete(log).where(log.c.id > after, log.c.id <= last, log.c.started_at < before, ~goes_on)
    return _Pruned(tx.execute(old).rowcount, last)
