"""A mail service that keeps every mail and delivers none."""

from functools import partial

from order_domain.errors import OperationConflict
from order_worker.providers.notification.port import Mailer
from order_worker.providers.store import ProviderStore, Row, Transaction, now


class SimulatedMailer(Mailer):
    """The mails are rows of the providers' store."""

    def __init__(self, store: ProviderStore) -> None:
        self._store = store

    async def send(self, key: str, *, recipient: str, subject: str, body: str) -> None:
        """Keeps the mail."""
        row = await self._store.transaction(partial(_send, key, recipient, subject, body))
        if (row["recipient"], row["subject"], row["body"]) != (recipient, subject, body):
            raise OperationConflict(f"mail {key} was sent before with another content")

    async def was_sent(self, key: str) -> bool:
        """Reads only."""
        return await self._store.transaction(partial(_row, key)) is not None


def _row(key: str, tx: Transaction) -> Row | None:
    row: Row | None = tx.execute("SELECT * FROM mails WHERE key = ?", (key,)).fetchone()
    return row


def _send(key: str, recipient: str, subject: str, body: str, tx: Transaction) -> Row:
    tx.execute(
        "INSERT INTO mails (key, recipient, subject, body, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (key, recipient, subject, body, now()),
    )
    row = _row(key, tx)
    assert row is not None
    return row
