"""A payment company that remembers what it charged.

Any token is accepted except those that end as Stripe's test tokens of the same name do:

    tok_chargeDeclined                      declined, card_declined
    tok_chargeDeclinedInsufficientFunds     declined, insufficient_funds
    tok_chargeDeclinedExpiredCard           declined, expired_card

Source of the names: https://docs.stripe.com/testing.
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from order_domain.errors import OperationCancelled, OperationConflict, PaymentDeclined
from order_domain.money import format_amount
from order_worker.providers.payment.port import (
    ChargeEntry,
    PaymentProvider,
    ProviderCharge,
    ProviderRefund,
    RefundEntry,
    RefundState,
)
from order_worker.providers.store import ProviderStore, Row, Transaction, now

DECLINES = {
    "tok_chargeDeclined": "card_declined",
    "tok_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "tok_chargeDeclinedExpiredCard": "expired_card",
}


class SimulatedPayments(PaymentProvider):
    """Transaction and refund ids follow from the key. It never forgets a key, so that the age of a request counts for
    nothing here, and every refund succeeds at once."""

    def __init__(self, store: ProviderStore) -> None:
        self._store = store

    def refuse_amount(self, amount_minor: int, currency: str) -> str | None:  # noqa: ARG002
        """Takes every amount."""
        return None

    async def charge(
        self,
        key: str,
        *,
        amount_minor: int,
        currency: str,
        method: str,
        asked_at: datetime,  # noqa: ARG002
        ordered_at: datetime | None = None,  # noqa: ARG002
    ) -> ProviderCharge:
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
        transaction_id: str | None,
        charged_minor: int,
        amount_minor: int,
        currency: str,
        asked_at: datetime,  # noqa: ARG002
        ordered_at: datetime | None = None,  # noqa: ARG002
    ) -> ProviderRefund | None:
        """Looks and acts in one transaction, so that no charge can come between."""
        wanted = _Wanted(key, charge_key, transaction_id, charged_minor, amount_minor, currency)
        return await self._store.transaction(partial(_refund, wanted))

    async def refund_state(self, refund_id: str) -> RefundState:
        """Every refund that is known has succeeded."""
        if not await self._store.transaction(partial(_rows, "SELECT 1 FROM refunds WHERE refund_id = ?", refund_id)):
            raise OperationConflict(f"the payment provider knows no refund {refund_id}")
        return RefundState.SUCCEEDED

    async def charges_since(self, at: datetime) -> AsyncIterator[ChargeEntry]:
        """From one read."""
        for row in await self._store.transaction(partial(_rows, _CHARGES_SINCE, _written(at))):
            yield ChargeEntry(
                key=row["key"],
                transaction_id=row["transaction_id"],
                captured_minor=row["amount_minor"],
                refunded_minor=row["refunded_minor"],
                currency=row["currency"],
                pending_refunds=(),
                at=datetime.fromisoformat(row["at"]),
            )

    async def refunds_since(self, at: datetime) -> AsyncIterator[RefundEntry]:
        """From one read."""
        for row in await self._store.transaction(partial(_rows, _REFUNDS_SINCE, _written(at))):
            yield RefundEntry(
                key=row["key"],
                refund_id=row["refund_id"],
                transaction_id=row["transaction_id"],
                amount_minor=row["amount_minor"],
                currency=row["currency"],
                state=RefundState.SUCCEEDED,
                at=datetime.fromisoformat(row["at"]),
            )


class _Wanted(NamedTuple):
    """A refund that is asked for."""

    key: str
    charge_key: str
    transaction_id: str | None
    charged_minor: int
    amount_minor: int
    currency: str


_CHARGES_SINCE = """
SELECT key, transaction_id, amount_minor, currency, at,
       (SELECT CAST(coalesce(sum(refunds.amount_minor), 0) AS BIGINT) FROM refunds WHERE charge_key = charges.key)
       AS refunded_minor
FROM charges WHERE state = 'captured' AND at >= ?
"""
_REFUNDS_SINCE = """
SELECT refunds.*, charges.transaction_id FROM refunds JOIN charges ON charges.key = refunds.charge_key
WHERE refunds.at >= ?
"""


def _rows(query: str, value: str, tx: Transaction) -> list[Row]:
    return tx.execute(query, (value,)).fetchall()


def _written(at: datetime) -> str:
    """As the store writes moments: such texts have the order of time."""
    return at.astimezone(UTC).isoformat()


def _row(key: str, tx: Transaction) -> Row | None:
    row: Row | None = tx.execute("SELECT * FROM charges WHERE key = ?", (key,)).fetchone()
    return row


def _charge(key: str, amount_minor: int, currency: str, method: str, tx: Transaction) -> Row:
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


def _fate(row: Row) -> ProviderCharge:
    if row["state"] == "void":
        raise OperationCancelled(f"charge {row['key']} was made void before it happened")
    if row["state"] == "declined":
        raise PaymentDeclined(row["decline_code"])
    return ProviderCharge(row["transaction_id"], row["amount_minor"])


def _refund(wanted: _Wanted, tx: Transaction) -> ProviderRefund | None:
    charge = _row(wanted.charge_key, tx)
    if wanted.transaction_id is not None and (charge is None or charge["transaction_id"] != wanted.transaction_id):
        raise OperationConflict(
            f"the platform took {format_amount(wanted.charged_minor, wanted.currency)} as {wanted.transaction_id} for "
            f"{wanted.charge_key}; the payment provider knows "
            + (f"{charge['transaction_id'] or charge['state']} for it" if charge else "no charge of that key")
        )
    if charge is None:
        tx.execute("INSERT INTO charges (key, state, at) VALUES (?, 'void', ?)", (wanted.charge_key, now()))
        return None
    if charge["state"] != "captured":
        return None
    if (charge["amount_minor"], charge["currency"]) != (wanted.charged_minor, wanted.currency):
        raise OperationConflict(
            f"the platform knows charge {wanted.charge_key} with "
            f"{format_amount(wanted.charged_minor, wanted.currency)}; the payment provider took "
            f"{format_amount(charge['amount_minor'], charge['currency'])}"
        )
    known = tx.execute("SELECT * FROM refunds WHERE key = ?", (wanted.key,)).fetchone() or _give_back(wanted, tx)
    if (known["charge_key"], known["amount_minor"]) != (wanted.charge_key, wanted.amount_minor):
        raise OperationConflict(f"refund {wanted.key} was asked for before with other parameters")
    return ProviderRefund(known["refund_id"], known["amount_minor"], _fate(charge))


def _give_back(wanted: _Wanted, tx: Transaction) -> Row:
    """Raises OperationConflict where less is left."""
    query = "SELECT CAST(coalesce(sum(amount_minor), 0) AS BIGINT) AS given FROM refunds WHERE charge_key = ?"
    given: int = tx.execute(query, (wanted.charge_key,)).fetchone()["given"]
    if given + wanted.amount_minor > wanted.charged_minor:
        raise OperationConflict(
            f"refund {wanted.key} of {format_amount(wanted.amount_minor, wanted.currency)} is more than what is left "
            f"of charge {wanted.charge_key}: {format_amount(wanted.charged_minor, wanted.currency)} taken, "
            f"{format_amount(given, wanted.currency)} given back before"
        )
    tx.execute(
        "INSERT INTO refunds (key, charge_key, amount_minor, currency, refund_id, at) VALUES (?, ?, ?, ?, ?, ?)",
        (
            wanted.key,
            wanted.charge_key,
            wanted.amount_minor,
            wanted.currency,
            _identifier("REF", wanted.key),
            now(),
        ),
    )
    made: Row = tx.execute("SELECT * FROM refunds WHERE key = ?", (wanted.key,)).fetchone()
    return made


def _identifier(prefix: str, key: str) -> str:
    return f"{prefix}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
