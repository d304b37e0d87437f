"""A payment company that remembers what it charged.

Any token is accepted except those that end as Stripe's test tokens of the same name do:

    tok_chargeDeclined                      declined, card_declined
    tok_chargeDeclinedInsufficientFunds     declined, insufficient_funds
    tok_chargeDeclinedExpiredCard           declined, expired_card

Source of the names: https://docs.stripe.com/testing.
"""

import hashlib
import sqlite3
from functools import partial

from order_domain.errors import OperationCancelled, OperationConflict, PaymentDeclined
from order_worker.providers.payment.port import PaymentProvider, ProviderCharge, ProviderRefund
from order_worker.providers.store import ProviderStore, now

DECLINES = {
    "tok_chargeDeclined": "card_declined",
    "tok_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "tok_chargeDeclinedExpiredCard": "expired_card",
}


class SimulatedPayments(PaymentProvider):
    """Transaction and refund ids follow from the key."""

    def __init__(self, store: ProviderStore) -> None:
        self._store = store

    async def charge(self, key: str, *, amount_minor: int, currency: str, method: str) -> ProviderCharge:
        """Declines are kept too: the same key gets the same answer."""
        row = await self._store.transaction(partial(_charge, key, amount_minor, currency, method))
        known = (row["amount_minor"], row["currency"], row["method"])
        if row["state"] != "void" and known != (amount_minor, currency, method):
            raise OperationConflict(f"charge {key} was asked for before with other parameters")
        return _fate(row)

    async def find_charge(self, key: str) -> ProviderCharge | None:
        """Reads only."""
        row = await self._store.transaction(partial(_row, key))
        return None if row is None else _fate(row)

    async def refund(
        self,
        key: str,
        *,
        charge_key: str,
        amount_minor: int,  # noqa: ARG002
        currency: str,  # noqa: ARG002
    ) -> ProviderRefund | None:
        """Looks and acts in one transaction, so that no charge can come between."""
        return await self._store.transaction(partial(_refund, key, charge_key))


def _row(key: str, tx: sqlite3.Connection) -> sqlite3.Row | None:
    row: sqlite3.Row | None = tx.execute("SELECT * FROM charges WHERE key = ?", (key,)).fetchone()
    return row


def _charge(key: str, amount_minor: int, currency: str, method: str, tx: sqlite3.Connection) -> sqlite3.Row:
    declined = DECLINES.get(method)
    tx.execute(
        "INSERT INTO charges (key, state, amount_minor, currency, method, transaction_id, decline_code, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (
            key,
            "declined" if declined else "captured",
            amount_minor,
            currency,
            method,
            None if declined else _identifier("TXN", key),
            declined,
            now(),
        ),
    )
    row = _row(key, tx)
    assert row is not None
    return row


def _fate(row: sqlite3.Row) -> ProviderCharge:
    if row["state"] == "void":
        raise OperationCancelled(f"charge {row['key']} was made void before it happened")
    if row["state"] == "declined":
        raise PaymentDeclined(row["decline_code"])
    return ProviderCharge(row["transaction_id"], row["amount_minor"])


def _refund(key: str, charge_key: str, tx: sqlite3.Connection) -> ProviderRefund | None:
    charge = _row(charge_key, tx)
    if charge is None:
        tx.execute("INSERT INTO charges (key, state, at) VALUES (?, 'void', ?)", (charge_key, now()))
        return None
    if charge["state"] != "captured":
        return None
    tx.execute(
        "INSERT INTO refunds (charge_key, key, amount_minor, currency, refund_id, at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (charge_key) DO NOTHING",
        (charge_key, key, charge["amount_minor"], charge["currency"], _identifier("REF", charge_key), now()),
    )
    refund = tx.execute("SELECT * FROM refunds WHERE charge_key = ?", (charge_key,)).fetchone()
    return ProviderRefund(refund["refund_id"], refund["amount_minor"], _fate(charge))


def _identifier(prefix: str, key: str) -> str:
    return f"{prefix}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
